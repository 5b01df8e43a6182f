"""The trace that a request belongs to: W3C traceparent read or begun, and kept for everything that the handler calls."""

from collections.abc import Mapping
from contextvars import ContextVar
from os import urandom


class Trace:
    """One request's place in its trace."""

    __slots__ = ("flags", "parent_id", "request_id", "span_id", "state", "trace_id")

    def __init__(self, trace_id: str, parent_id: str, flags: str, request_id: str, state: str = "") -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id  # the span of whoever called; empty if the trace begins here
        self.flags = flags
        self.request_id = request_id
        self.span_id = urandom(8).hex()
        self.state = state

    @property
    def traceparent(self) -> str:
        """To send along with calls that the handler makes."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


current: ContextVar[Trace | None] = ContextVar("kfn_trace", default=None)

_HEX = frozenset("0123456789abcdef")


def begin(headers: Mapping[bytes, bytes]) -> Trace:
    """Continue the caller's trace, or begin one if there is none or it is malformed."""
    request_id = headers.get(b"x-request-id", b"").decode("latin-1")[:200]
    parsed = parse(headers.get(b"traceparent", b"").decode("latin-1"))
    if parsed is None:
        trace_id = urandom(16).hex()
        return Trace(trace_id, "", "00", request_id or trace_id)
    trace_id, parent_id, flags = parsed
    return Trace(trace_id, parent_id, flags, request_id or trace_id, headers.get(b"tracestate", b"").decode("latin-1"))


def parse(text: str) -> tuple[str, str, str] | None:
    """Trace id, parent id and flags of a traceparent; None if it is not valid."""
    parts = text.split("-")
    if len(parts) < 4 or (len(parts) > 4 and parts[0] == "00"):
        return None
    version, trace_id, parent_id, flags = parts[:4]
    if (len(version), len(trace_id), len(parent_id), len(flags)) != (2, 32, 16, 2):
        return None
    if not _HEX.issuperset(version + trace_id + parent_id + flags) or version == "ff":
        return None
    if trace_id == "0" * 32 or parent_id == "0" * 16:
        return None
    return trace_id, parent_id, flags
