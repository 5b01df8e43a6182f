"""W3C trace context on a request: which `traceparent` counts, whether the gateway records a span for it, what the instance gets. Pure.

Spans themselves are made at the end of an exchange, by `spans`; here a request that is not recorded costs one comparison.
"""

import re
from dataclasses import dataclass

_IDS = rb"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Version 00 is exactly this long; a later one may have more behind it, after a dash; ff is forbidden.
_VALID = re.compile(rb"00-%b|(?!00|ff)[0-9a-f]{2}-%b(?:-.*)?" % (_IDS, _IDS))
_ALL = 1 << 64  # a ratio is taken of the last 64 bits of the trace id, as OpenTelemetry's samplers do it

SAMPLERS = ("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")


def valid(traceparent: bytes) -> bool:
    return _VALID.fullmatch(traceparent) is not None


@dataclass(frozen=True, slots=True)
class Sampler:
    """Which requests are recorded: `bound` of the last 64 bits of trace ids, or what the caller decided if there is one."""

    follows_parent: bool = True
    bound: int = _ALL

    def begin(self, parent: bytes | None, ids: bytes) -> tuple[bytes, bytes | None]:
        """The `traceparent` for the instance, and whose child the gateway's span is: b"" nobody's, None: it is not recorded.

        `parent` is the client's, and valid, or None. `ids` are 48 fresh hex digits: a trace id and a span id.
        """
        if parent is None:
            sampled = int(ids[16:32], 16) < self.bound
            return b"00-%b-%b-%b" % (ids[:32], ids[32:], b"01" if sampled else b"00"), b"" if sampled else None
        sampled = bool(int(parent[53:55], 16) & 1) if self.follows_parent else int(parent[19:35], 16) < self.bound
        if not sampled:
            return parent, None
        # Of the flags only `sampled` and `random` are known; a span of ours says nothing about the others.
        return b"00-%b-%b-%02x" % (parent[3:35], ids[32:], int(parent[53:55], 16) & 2 | 1), parent


def sampler(name: str, argument: str = "") -> Sampler:
    """What OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG ask for. Raises ValueError, which names them."""
    chosen = name.strip().lower() or "parentbased_always_on"
    if chosen not in SAMPLERS:
        raise ValueError(f"OTEL_TRACES_SAMPLER={name}: the gateway knows {', '.join(SAMPLERS)}")
    kind = chosen.removeprefix("parentbased_")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    if ratio is None:
        try:
            ratio = float(argument or 1)
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise ValueError(f"OTEL_TRACES_SAMPLER_ARG={argument}: {chosen} takes a number from 0 to 1, such as 0.05")
    return Sampler(chosen != kind, round(ratio * _ALL))
