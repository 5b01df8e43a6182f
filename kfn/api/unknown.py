"""Find what the decoder does not tell: fields that a type does not have, which it drops, and values of the wrong type in what passes
through as it comes (`kfn.api.shapes`), which it does not look into. People who mistyped want to know."""

import difflib
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from kfn.api.base import Base, decode
from kfn.api.shapes import As


@dataclass(frozen=True, slots=True)
class Unknown:
    """One unknown field: where it is, and the fields that its place knows."""

    path: str
    name: str
    known: tuple[str, ...]

    @property
    def suggestion(self) -> str | None:
        """The known field that was probably meant."""
        if self.name == "true" and "on" in self.known:
            return "on"
        same = next((k for k in self.known if k.lower() == self.name.lower().replace("_", "").replace("-", "")), None)
        return same or next(iter(difflib.get_close_matches(self.name, self.known, n=1, cutoff=0.6)), None)


def unknown_fields(type_: Any, obj: Any) -> list[str]:
    """The paths of unknown fields, such as `spec.template.spec.containers[0].imag`."""
    return [found.path for found in find_unknown(type_, obj)]


def find_unknown(type_: Any, obj: Any, path: str = "") -> list[Unknown]:
    """The unknown fields of `obj`, in the order in which they are written. Values that are no JSON object or list are skipped."""
    struct, item, value = _shape(type_)
    found: list[Unknown] = []
    if isinstance(obj, dict) and struct is not None:
        fields = fields_of(struct)
        for name, child in obj.items():
            at = f"{path}.{name}" if path else str(name)
            if name in fields:
                found += find_unknown(fields[name], child, at)
            else:
                found.append(Unknown(at, str(name), tuple(fields)))
    elif isinstance(obj, dict) and value is not None:
        for name, child in obj.items():
            found += find_unknown(value, child, f"{path}.{name}" if path else str(name))
    elif isinstance(obj, list) and item is not None:
        for i, child in enumerate(obj):
            found += find_unknown(item, child, f"{path}[{i}]")
    return found


def find_mistyped(type_: Any, obj: Any, path: str = "") -> list[tuple[str, str]]:
    """Path and complaint of what does not have the type of its shape; one for each value that has a shape."""
    struct, item, value = _shape(type_)
    found: list[tuple[str, str]] = []
    if isinstance(obj, dict) and struct is not None:
        for name, child in obj.items():
            at = f"{path}.{name}" if path else str(name)
            hint = _hints(struct).get(name)
            shape = _plain(hint)
            if shape is not hint and get_origin(hint) is Annotated:
                try:
                    decode(shape, child)
                except msgspec.ValidationError as error:
                    said, _, inner = str(error).partition(" - at `$")
                    found.append((f"{at}{inner.removesuffix('`')}", said))
            elif hint is not None:
                found += find_mistyped(hint, child, at)
    elif isinstance(obj, dict) and value is not None:
        for name, child in obj.items():
            found += find_mistyped(value, child, f"{path}.{name}")
    elif isinstance(obj, list) and item is not None:
        for i, child in enumerate(obj):
            found += find_mistyped(item, child, f"{path}[{i}]")
    return found


@cache
def fields_of(struct: type[Base]) -> dict[str, Any]:
    """JSON field name to type; for what is passed through as a dictionary, to the shape that it has (`kfn.api.shapes`)."""
    return {name: _plain(hint) for name, hint in _hints(struct).items()}


@cache
def _hints(struct: type[Base]) -> dict[str, Any]:
    hints = get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _plain(hint: Any) -> Any:
    if get_origin(hint) is not Annotated:
        return hint
    shape = next((extra.type for extra in hint.__metadata__ if isinstance(extra, As)), None)
    return hint.__origin__ if shape is None else shape


def _shape(type_: Any) -> tuple[type[Base] | None, Any, Any]:
    """The struct, the list's item type and the dict's value type that a JSON value of this type can have."""
    struct: type[Base] | None = None
    item: Any = None
    value: Any = None
    for one in get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,):
        if isinstance(one, type) and issubclass(one, Base):
            struct = one
        elif get_origin(one) is list:
            item = get_args(one)[0]
        elif get_origin(one) is dict:
            value = get_args(one)[1]
    return struct, item, value
