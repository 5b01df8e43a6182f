"""A Revision's three time limits on one request, with Knative's meaning. Pure.

`timeoutSeconds` bounds the whole request, waiting included. `responseStartTimeoutSeconds` runs from the request's being handed to an
instance to its first byte, which an interim answer (100, 103) has too; `idleTimeoutSeconds` is the longest silence of the instance. What
the client sends does not count: an instance that is silent during a long upload is silent. None of them applies to a tunnel.
"""

from dataclasses import dataclass
from math import inf

from gateway.policy import Policy


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one request is, as times of the loop's clock; None: not yet."""

    arrived: float
    sent: float | None = None
    first_byte: float | None = None  # of the answer itself
    last_byte: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`over` names the limit that has passed, or is empty; `again` is when to look next."""

    over: str
    again: float


def check(policy: Policy, progress: Progress, now: float) -> Verdict:
    limits: list[tuple[float, str]] = []
    if policy.timeout:
        limits.append((progress.arrived + policy.timeout, f"timeoutSeconds ({policy.timeout:g} s)"))
    if policy.response_start and progress.sent is not None and progress.last_byte is None:
        limits.append((progress.sent + policy.response_start, f"responseStartTimeoutSeconds ({policy.response_start:g} s)"))
    if policy.idle and progress.sent is not None:
        quiet_since = progress.last_byte if progress.last_byte is not None else progress.sent
        limits.append((quiet_since + policy.idle, f"idleTimeoutSeconds ({policy.idle:g} s)"))
    at, name = min(limits, default=(inf, ""))
    return Verdict(name if now >= at else "", at)


def wait_until(arrived: float, first_failure: float, policy: Policy, *, wait: float, unreachable: float, known: bool) -> float:
    """When a request that has no instance gives up. `first_failure` is when an instance first refused its connection, or 0."""
    until = arrived + min(policy.timeout or inf, wait)
    if first_failure:
        until = min(until, first_failure + unreachable)
    if not known:
        until = min(until, arrived + unreachable)
    return until
