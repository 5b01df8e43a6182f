"""Find objects by something other than their name without going through all of them: what a World needs beside its informers."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

from kfn.kube.informer import Informer

T = TypeVar("T")


class Index(Generic[T]):
    """The objects of an informer under each key that `keys_of` gives them; kept true by the informer's changes."""

    def __init__(self, informer: Informer[T], keys_of: Callable[[T], Iterable[Hashable]]) -> None:
        self._keys_of = keys_of
        self._found: dict[Hashable, dict[str, T]] = {}
        informer.on_change(self._changed)

    def get(self, key: Hashable) -> list[T]:
        return list(self._found.get(key, {}).values())

    def _changed(self, old: T | None, new: T | None) -> None:
        if old is not None:
            for key in self._keys_of(old):
                under = self._found.get(key, {})
                under.pop(_name(old), None)
                if not under:
                    self._found.pop(key, None)
        if new is not None:
            for key in self._keys_of(new):
                self._found.setdefault(key, {})[_name(new)] = new


def _name(obj: Any) -> str:
    return f"{obj.metadata.namespace}/{obj.metadata.name}"
