"""How an attribute's value becomes a header's value and back: percent-encoding, the same rule for HTTP and NATS."""

import re

from kfn.cloudevents.event import InvalidEvent

_UNSAFE = re.compile(r"[^\x21\x23\x24\x26-\x7e]")  # outside printable ASCII, and space, double quote and percent
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")


def encode(value: str) -> str:
    """A value that any header can carry; plain ASCII passes unchanged."""
    if not _UNSAFE.search(value):
        return value
    return _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), value)


def decode(name: str, value: str) -> str:
    """The value as its sender meant it. A quoted value loses its quotes; a percent sign that encodes nothing stays.

    Raises `InvalidEvent` when the encoded bytes are not UTF-8.
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    raw = _ENCODED.sub(lambda m: bytes([int(m[1], 16)]), value.encode("utf-8", "surrogateescape"))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidEvent(name, "percent-encoded bytes are not UTF-8") from None
