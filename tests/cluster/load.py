"""Requests at a gateway from several connections at once, all the while that a block runs, and what became of each.

Half of the clients keep their connection, as browsers and libraries do, and half come anew for each request, as a load balancer sees them.
Nothing is tried twice: an error is a request that was dropped.
"""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PAUSE = 0.02  # seconds between two requests of a client: a cluster's parts share two cores with it


@dataclass
class Load:
    address: tuple[str, int]
    host: str
    clients: int = 6
    timeout: float = 60.0
    good: int = 0
    slowest: float = 0.0
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._client, args=(n % 2 == 0,), daemon=True) for n in range(self.clients)]
        for one in threads:
            one.start()
        try:
            yield self
        finally:
            self._over.set()
            for one in threads:
                one.join(self.timeout + 5)

    def wait_for(self, more: int, within: float = 120.0) -> None:
        """Until so many more were answered."""
        wanted, end = self.good + more, time.monotonic() + within
        while self.good < wanted and not self.failed and time.monotonic() < end:
            self._over.wait(0.05)
        assert self.good >= wanted or self.failed, f"{more} requests were not answered within {within:g} s"

    def _client(self, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.wait(PAUSE):
            connection = connection or http.client.HTTPConnection(*self.address, timeout=self.timeout)
            began = time.monotonic()
            try:
                connection.request("GET", "/", headers={"Host": self.host, **({} if keeps else {"Connection": "close"})})
                answer = connection.getresponse()
                body = answer.read()
                said = "" if answer.status == 200 else f"{answer.status}: {body[:200]!r}"
                closes = answer.will_close
            except (OSError, http.client.HTTPException) as error:
                said, closes = f"{type(error).__name__}: {error}", True
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - began)
                if said:
                    kind = "a kept connection" if keeps else "a new connection"
                    self.failed.append(f"{time.strftime('%H:%M:%S')} {kind}, after {time.monotonic() - began:.2f} s: {said}")
                else:
                    self.good += 1
            if closes or not keeps:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
