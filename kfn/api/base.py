"""The base of every API type, and the two functions that turn JSON into one and back.

Every field has a default: what is missing is reported by validation, with the field's path, not by the decoder.
A JSON null means absent. Unknown fields are dropped here; `kfn.api.unknown` finds them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
Json = dict[str, Any]


class Base(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A frozen object whose JSON form has camelCase names and leaves defaults out."""


def decode(type_: type[T], obj: Any) -> T:
    """Build `type_` from decoded JSON. Raises `msgspec.ValidationError`, which names the path (`$.spec.replicas`). A type that
    has a `read_json` reads the object itself: it keeps what no type describes."""
    read: Callable[[Any], T] | None = getattr(type_, "read_json", None)
    if read is not None:
        return read(obj)
    return msgspec.convert(_without_nulls(obj), type_)


def encode(obj: Any) -> Any:
    """The JSON form of an API object, as plain dicts and lists. A resource always carries its apiVersion and kind."""
    body = msgspec.to_builtins(obj)
    if isinstance(obj, Base) and "metadata" in obj.__struct_fields__ and "kind" in obj.__struct_fields__:
        return {"apiVersion": obj.api_version, "kind": obj.kind, **body}  # type: ignore[attr-defined]
    return body


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
