"""When a container that ended is started again: Kubernetes' CrashLoopBackOff, except that the first restart is at once. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds. A run of `reset` seconds counts as healthy and starts the row over."""

    first: float = 10.0
    longest: float = 300.0
    reset: float = 600.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`wait` None: never again. `failures` goes into the next decision."""

    wait: float | None
    failures: int


def decide(policy: Policy, restart_policy: str, exit_code: int, ran: float, failures: int) -> Decision:
    """`restart_policy` is the pod's; `failures` counts ends in a row that came too soon."""
    if restart_policy == "Never" or (restart_policy == "OnFailure" and exit_code == 0):
        return Decision(None, failures)
    failures = 1 if ran >= policy.reset else failures + 1
    if failures == 1:
        return Decision(0.0, failures)
    return Decision(min(policy.first * 2 ** min(failures - 2, 30), policy.longest), failures)
