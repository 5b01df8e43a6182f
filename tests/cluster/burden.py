"""A steady, bounded load while things fail: requests at gateways, events into a Broker, and an account of each one.

Requests: six clients, about fifty a second in all. Four come by the Service's address, two of them with kept connections; one more stays
with each gateway's pod. A client that cannot connect tries again, as clients may, and that is counted as refused: nothing was sent. What
broke after something was sent, and each answer but 200, has failed.

Waves: three requests at once at a function of one request an instance, and then a pause in which it goes to zero.

Events: each has an id of its own and is published once; 202 is the promise to deliver it.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.cluster.threads import beside

Address = tuple[str, int]

PAUSE = 0.11  # seconds between two requests of a client
REST = 9.0  # seconds between two waves, over a window of 6 s
EVERY = 0.4  # seconds between two events of a publisher
BROKEN = (OSError, http.client.HTTPException)  # TimeoutError is an OSError


@dataclass(frozen=True)
class Failure:
    at: float  # time.monotonic()
    client: str
    said: str
    status: int = 0  # 0: the connection broke

    def __str__(self) -> str:
        return f"{time.strftime('%H:%M:%S')} {self.client}: {self.said}"


@dataclass(frozen=True)
class Account:
    """What had been counted at a moment. The difference of two is what came between."""

    good: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # by client: connections that were not had
    failures: tuple[Failure, ...] = ()
    slowest: float = 0.0


@dataclass
class Burden:
    steady: str  # hosts of functions
    waves: str
    service: Address
    gateways: dict[str, Address]  # by pod
    ingress: Address
    broker: str  # its path
    timeout: float = 150.0
    good: int = 0
    slowest: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    declined: list[str] = field(default_factory=list)  # publishes that were not accepted: the publisher was told, or lost its connection
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator["Burden"]:
        works = [partial(self._client, f"service-{n}", self.service, n % 2 == 0) for n in range(4)]
        works += [partial(self._client, name, address, True) for name, address in self.gateways.items()]
        works += [partial(self._wave, f"wave-{n}") for n in range(3)]
        works += [partial(self._publish, f"publisher-{n}", n % 2 == 0) for n in range(2)]
        with beside(self._over, *works, within=self.timeout + 5):
            yield self

    def account(self) -> Account:
        """And begin anew with the slowest."""
        with self._lock:
            said = Account(self.good, dict(self.refused), tuple(self.failures), self.slowest)
            self.slowest = 0.0
        return said

    def wait_for(self, more: int, within: float = 120.0) -> None:
        """Until so many more were answered."""
        wanted, end = self.good + more, time.monotonic() + within
        while self.good < wanted and time.monotonic() < end:
            self._over.wait(0.05)
        assert self.good >= wanted, f"{more} requests were not answered within {within:g} s: {[str(one) for one in self.failures[-5:]]}"

    def _client(self, name: str, address: Address, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.wait(PAUSE):
            connection = connection or self._connected(name, address)
            if connection is None:
                return
            if not self._ask(connection, name, self.steady, keeps):
                connection = None
        if connection is not None:
            connection.close()

    def _wave(self, name: str) -> None:
        while not self._over.wait(REST):
            connection = self._connected(name, self.service)
            if connection is None:
                return
            self._ask(connection, name, self.waves, False)

    def _connected(self, name: str, address: Address) -> http.client.HTTPConnection | None:
        """A connection, however long it takes to get one; None at the end."""
        while True:
            connection = http.client.HTTPConnection(*address, timeout=5)
            try:
                connection.connect()
            except OSError:
                connection.close()
                with self._lock:
                    self.refused[name] = self.refused.get(name, 0) + 1
                if self._over.wait(0.1):
                    return None
                continue
            connection.sock.settimeout(self.timeout)
            return connection

    def _ask(self, connection: http.client.HTTPConnection, name: str, host: str, keeps: bool) -> bool:
        """Whether the connection can be used again."""
        began, again, status = time.monotonic(), keeps, 0
        try:
            connection.request("GET", "/?s=0.05", headers={"Host": host, **({} if keeps else {"Connection": "close"})})
            answer = connection.getresponse()
            status, body, again = answer.status, answer.read(), keeps and not answer.will_close
            said = "" if status == 200 else f"{status}: {body[:200]!r}"
        except BROKEN as error:
            said, again = f"{type(error).__name__}: {error}", False
        now = time.monotonic()
        with self._lock:
            self.slowest = max(self.slowest, now - began)
            if said:
                self.failures.append(Failure(now, name, f"after {now - began:.2f} s: {said}", status))
            else:
                self.good += 1
        if not again:
            connection.close()
        return again

    def _publish(self, name: str, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        number = 0
        while not self._over.wait(EVERY):
            number += 1
            connection = connection or http.client.HTTPConnection(*self.ingress, timeout=15)
            identity = f"{name}-{number}"
            headers = {
                "Ce-Specversion": "1.0", "Ce-Id": identity, "Ce-Type": "com.example.counted", "Ce-Source": f"/{name}",
                "Content-Type": "application/json", **({} if keeps else {"Connection": "close"}),
            }  # fmt: skip
            try:
                connection.request("POST", self.broker, json.dumps({"n": number}), headers)
                answer = connection.getresponse()
                body, closes = answer.read(), answer.will_close
                said = "" if answer.status == 202 else f"{answer.status}: {body[:200]!r}"
            except BROKEN as error:
                said, closes = f"{type(error).__name__}: {error}", True
            with self._lock:
                if said:
                    self.declined.append(f"{time.strftime('%H:%M:%S')} {identity}: {said}")
                else:
                    self.accepted.add(identity)
            if closes or not keeps:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
