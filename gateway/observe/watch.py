"""Who is told of the end of each request: access log, spans. Nobody, unless it is asked for.

A watcher works in the event loop, between two requests: it must be quick, it must not wait, and its bugs harm no request.
"""

import logging
from typing import TYPE_CHECKING, Protocol

from gateway.errors import Refusal

if TYPE_CHECKING:
    from gateway.exchange import Exchange

log = logging.getLogger(__name__)


class Watcher(Protocol):
    def ended(self, exchange: "Exchange") -> None:
        """Called once, while the exchange still knows its line and instance. It changes nothing."""
        ...

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        """What came from `peer` could not be read as a request, and was answered."""
        ...


def ended(watchers: tuple[Watcher, ...], exchange: "Exchange") -> None:
    for watcher in watchers:
        try:
            watcher.ended(exchange)
        except Exception:
            log.exception("%s failed at the end of request %s", type(watcher).__name__, exchange.head.request_id.decode("latin-1"))


def turned_away(watchers: tuple[Watcher, ...], peer: bytes, why: Refusal) -> None:
    for watcher in watchers:
        try:
            watcher.turned_away(peer, why)
        except Exception:
            log.exception("%s failed on a refused connection", type(watcher).__name__)
