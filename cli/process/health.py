"""What /healthz and /readyz say of a process. Pure.

A process that can run is alive, whatever is away: ending it brings no API server back, and costs what it holds. It is ready from the
moment it does its work until it stops; what is away meanwhile is told in the answer, for a person, and changes no status: when all
replicas miss the same thing, taking all of them out of a Service only turns a clear 503 into a refused connection.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """`waiting` says what is not there yet, "" when it works. `troubles` are asked at each question; each says "" while all is well."""

    waiting: str = "it is starting"
    stopping: bool = False
    troubles: dict[str, Callable[[], str]] = field(default_factory=dict)

    def readiness(self) -> tuple[bool, str]:
        """Whether it is ready, and the text of the answer."""
        if self.stopping:
            return False, "not ready: it is stopping\n"
        if self.waiting:
            return False, f"not ready: {self.waiting}\n"
        return True, "".join(["ok\n", *(f"{name}: {said}\n" for name, ask in self.troubles.items() if (said := ask()))])


def behind(stale: Mapping[str, float]) -> str:
    """What to say of local copies, by kind and the seconds for which each could not be followed."""
    late = {kind: seconds for kind, seconds in stale.items() if seconds > 0}
    if not late:
        return ""
    return f"the API server cannot be followed, for {max(late.values()):.0f} s ({', '.join(sorted(late))})"
