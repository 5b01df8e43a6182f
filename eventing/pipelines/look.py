"""Looks at runs by time: ends those whose time is over, opens joins whose window is, and puts under way again what a crash has left out.

One message a run makes somebody look, from the start of the run to its end; another one each window of a join. Between two looks it
waits at the server (a delayed negative acknowledgement), so it outlives everything here.
"""

import logging
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg

from eventing.pipelines.advance import Looked, next_look
from eventing.pipelines.ledger import Ledger
from eventing.pipelines.state import Run
from eventing.pipelines.store import RETRIES, Store
from eventing.settings import Settings
from kfn.clock import utcnow

log = logging.getLogger(__name__)

YOUNG = 60.0  # seconds: its record may be on its way still
SOON = 2.0
STILL = 0.8  # of the time between two looks: nothing has been written for so long

End = Callable[[Run], Awaitable[None]]
"""Do what is left to do for a run that is over."""


class Looker:
    """Of one Pipeline."""

    def __init__(self, store: Store, ledger: Ledger, settings: Settings, end: End) -> None:
        self._store, self._ledger, self._settings, self._end = store, ledger, settings, end

    async def work(self, message: Msg) -> float | None:
        """As `hands.Work`."""
        runs, now = self._store.runs, utcnow().timestamp()
        id, what = runs.id_of(message.subject), message.subject.split(".")[-1 if message.subject.endswith(".start") else -2]
        run = await self._ledger.read(id, fresh=True)
        is_young = now - message.metadata.timestamp.timestamp() < YOUNG
        if run is None:
            return SOON if is_young else None  # it never began; nobody was told that it did, and `Retention` clears up
        if not run.is_over and now >= next_look(run):
            run = await self._ledger.happen(id, Looked()) or run
        if run.is_over:
            if run.retries < int((message.headers or {}).get(RETRIES, 0)) and is_young:
                return SOON  # it is about to be taken up again
            await self._end(run)
            return None
        if what not in ("start", "again") and not any(step.window for step in run.steps.values()):
            return None  # a timer whose window is closed
        if now - self._ledger.written(id) >= self._settings.pipeline_look * STILL:
            await self._ledger.heal(run)
        return max(0.05, min(next_look(run) - utcnow().timestamp(), self._settings.pipeline_look))
