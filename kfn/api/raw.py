"""Objects of kinds that kfn has no types for: the metadata, and the JSON as it came."""

from dataclasses import dataclass

import msgspec

from kfn.api.base import Json, decode
from kfn.api.meta import ObjectMeta


@dataclass(frozen=True, slots=True)
class Raw:
    """`body` is the object in JSON: of many objects, bytes take a fifth of what dictionaries take."""

    metadata: ObjectMeta
    body: bytes

    @classmethod
    def read_json(cls, obj: Json) -> "Raw":
        """Called by `kfn.api.base.decode`."""
        return cls(decode(ObjectMeta, obj.get("metadata") or {}), msgspec.json.encode(obj))
