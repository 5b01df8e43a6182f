"""The one form in which a shared layer lies in a registry: compressed as images are that leave, by this machine's library."""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from builder.cache import Cache, Cached
from builder.compress import compressed_key, library, zstandard
from builder.errors import BlobCorrupt
from builder.oci import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Layer

_CHUNK = 1 << 20
_TYPES = {"gzip": LAYER_GZIP, "zstd": LAYER_ZSTD, "none": LAYER_TAR}
RATIO, LEAST = 200, 64_000_000  # a layer may be so many times its compressed size, and that many bytes in any case


@dataclass(frozen=True, slots=True)
class Form:
    """`method` is gzip, zstd or none."""

    method: str

    @property
    def name(self) -> str:
        return "none" if self.method == "none" else f"{self.method} {library(self.method)}"

    @property
    def media_type(self) -> str:
        return _TYPES[self.method]

    def known(self, cache: Cache, layer: Layer) -> Layer | None:
        """This plain layer of the cache in this form, if it was made."""
        if self.method == "none":
            return layer
        found = cache.get(compressed_key(self.method, layer))
        return found.layer if found else None

    def unpack(self, cache: Cache, name: str, packed: Layer, facts: dict[str, Any]) -> Cached:
        """The plain layer of a packed one that lies in the cache, kept under `name`. Raises BlobCorrupt if it is another one."""
        plain = Layer(packed.diff_id, packed.diff_id, 0, LAYER_TAR, packed.kind)
        if self.method == "none":
            cache.keep(name, packed, facts)
            return Cached(packed, facts)

        def write(file: BinaryIO) -> Layer:
            seen, size = hashlib.sha256(), 0
            for chunk in self._chunks(cache.blob(packed.digest)):
                seen.update(chunk)
                size += file.write(chunk)
                if size > max(LEAST, RATIO * packed.size):
                    raise BlobCorrupt(f"a shared layer of {packed.size} bytes holds more than {size} bytes")
            if f"sha256:{seen.hexdigest()}" != packed.diff_id:
                raise BlobCorrupt(f"a shared layer does not hold what it promises ({packed.digest[:19]})")
            return replace(plain, size=size)

        try:
            made = cache.make(name, write, facts)
        except (zlib.error, EOFError, ValueError) as error:
            raise BlobCorrupt(f"a shared layer cannot be unpacked ({packed.digest[:19]}): {error}") from None
        cache.keep(compressed_key(self.method, made.layer), packed, {})
        return made

    def _chunks(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            if self.method == "zstd":
                reader = zstandard().ZstdDecompressor(max_window_size=1 << 27).stream_reader(file)
                while chunk := reader.read(_CHUNK):
                    yield chunk
                return
            inflate = zlib.decompressobj(31)
            while data := file.read(_CHUNK // 16):
                while data:
                    yield inflate.decompress(data, _CHUNK)
                    data = inflate.unconsumed_tail
            yield inflate.flush()
            if not inflate.eof:
                raise EOFError("it ends too early")
