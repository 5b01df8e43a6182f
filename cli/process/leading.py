"""Work that one replica does: stand for the Lease, do it while it is held, stand again when it was lost.

After a loss the process stands by again, and does not end: what every replica serves (webhook, event ingress) is not taken down with it.
That is safe because the work is over before another may begin: it is cancelled `duration - renew_deadline` before the Lease can be
taken over, each term begins with new objects, a write that comes late is refused by the fence (kfn/kube/fence.py), and work that will
not end takes the process with it.
"""

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cli.process.run import Shell
from kfn.kube.client import Client
from kfn.kube.fence import Fenced
from kfn.kube.lease import Elector, LostLease, Terms

log = logging.getLogger(__name__)

OVERRAN = 125  # the exit code of a process whose work did not end when its Lease was lost


@dataclass(slots=True)
class Leading:
    """One process's standing. `client` writes only while the Lease is held."""

    shell: Shell
    terms: Terms
    leads: bool = False
    terms_served: int = 0
    _elector: Elector | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        process = self.shell.process
        self._elector = Elector(self.shell.client, *process.lease, process.called(), self.terms, overran=_leave) if process.lease else None
        self.shell.pages.append(self._page)

    @property
    def client(self) -> Client:
        if self._elector is None:
            return self.shell.client
        return Client(Fenced(self.shell.transport, self._elector.holds))

    def holds(self) -> bool:
        """Nobody else leads now."""
        return self._elector is None or self._elector.holds()

    async def run(self, work: Callable[[Client], Awaitable[None]]) -> None:
        """Until cancelled. `work` is called anew for each term, and never ends by itself."""
        if self._elector is None:
            await self._term(work)
            return
        log.info("standing by for the lease %s/%s", *self.shell.process.lease or ())
        while True:
            try:
                await self._elector.lead(lambda: self._term(work))
            except LostLease as error:
                log.warning("%s; standing by", error)

    async def _term(self, work: Callable[[Client], Awaitable[None]]) -> None:
        self.leads, self.terms_served = True, self.terms_served + 1
        try:
            await work(self.client)
            raise RuntimeError(f"the work of {self.shell.process.name} ended by itself")
        finally:
            self.leads = False

    def _page(self) -> str:
        lease = "/".join(self.shell.process.lease or ("", ""))
        return (
            "# HELP kfn_leader 1: this process holds its Lease, or is the only one.\n# TYPE kfn_leader gauge\n"
            f'kfn_leader{{lease="{lease}"}} {int(self.leads)}\n'
            "# HELP kfn_leader_terms_total How often it was elected.\n# TYPE kfn_leader_terms_total counter\n"
            f'kfn_leader_terms_total{{lease="{lease}"}} {self.terms_served}\n'
        )


def _leave() -> None:
    log.error("the work goes on after the lease was lost: leaving at once")
    sys.stderr.flush()
    os._exit(OVERRAN)
