"""When a container that ended is started again: Kubernetes' CrashLoopBackOff, except that the first restart is at once. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds. A run of `reset` seconds starts the row over; one that was ready needs only `first`."""

    first: float = 10.0
    longest: float = 300.0
    reset: float = 600.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`wait` None: never again. `failures` goes into the next decision."""

    wait: float | None
    failures: int


def decide(
    policy: Policy, restart_policy: str, exit_code: int, ran: float, failures: int, *, was_ready: bool = False, innocent: bool = False
) -> Decision:
    """`restart_policy` is the pod's; `failures` counts ends in a row that came too soon; `innocent`: something else took it along.

    Kubernetes waits for 10 minutes of health. Here a start costs milliseconds, and one request that kills an instance
    now and then must not turn into minutes without a function.
    """
    if restart_policy == "Never" or (restart_policy == "OnFailure" and exit_code == 0):
        return Decision(None, failures)
    if innocent:
        return Decision(0.0, failures)
    failures = 1 if ran >= (policy.first if was_ready else policy.reset) else failures + 1
    if failures == 1:
        return Decision(0.0, failures)
    return Decision(min(policy.first * 2 ** min(failures - 2, 30), policy.longest), failures)
