"""Requests at a gateway from several connections at once, all the while that a block runs, and what became of each.

Half of the clients keep their connection, as browsers and libraries do, and half come anew for each request, as a load balancer sees them.
Nothing is tried twice: an error is a request that was dropped.
"""

import http.client
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.cluster.threads import beside

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
    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    identified: str = ""  # a header with another value in each request
    wanted: int = 200
    fresh: bool = False  # a connection for each request, of every client
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, method: str, path: str, headers: Mapping[str, str], *, identified: str = "", wanted: int = 200) -> None:
        """Something else than GET / for 200."""
        self.method, self.path, self.headers, self.identified, self.wanted = method, path, headers, identified, wanted

    @contextmanager
    def running(self) -> Iterator["Load"]:
        works = [partial(self._client, n % 2 == 0 and not self.fresh) for n in range(self.clients)]
        with beside(self._over, *works, within=self.timeout + 5):
            yield self

    def wait_for(self, more: int, within: float = 120.0) -> None:
        """Until so many more were answered."""
        wanted, end = self.good + more, time.monotonic() + within
        while self.good < wanted and not self.failed and time.monotonic() < end:
            self._over.wait(0.05)
        assert self.good >= wanted or self.failed, f"{more} requests were not answered within {within:g} s"

    def _head(self, keeps: bool) -> dict[str, str]:
        own = {self.identified: uuid.uuid4().hex} if self.identified else {}
        return {"Host": self.host, **({} if keeps else {"Connection": "close"}), **self.headers, **own}

    def _client(self, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.wait(PAUSE):
            connection = connection or http.client.HTTPConnection(*self.address, timeout=self.timeout)
            began = time.monotonic()
            try:
                body = b"x" if self.method == "POST" else None
                connection.request(self.method, self.path, body, self._head(keeps))
                answer = connection.getresponse()
                text = answer.read()
                said = "" if answer.status == self.wanted else f"{answer.status}: {text[:200]!r}"
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
