"""The writers: each publishes its own counter, one event at a time, and repeats with the same id what was not acknowledged."""

from dataclasses import dataclass, field

import anyio

from cli.verifybus.sink import MARK
from cli.verifybus.verdict import Id
from kfn import http1

TYPE = "verify.event"
MARK_EVERY = 10  # events; every tenth is one that a Trigger shall fail for
TIMEOUT = 8.0  # seconds for one attempt
BURST = 25  # events of each writer at once after a rest


@dataclass
class Writers:
    """`url` is the Broker's address. `published` has what was sent at all, `acknowledged` what was answered with 202."""

    url: str
    count: int
    rate: float  # events a second, of all together
    published: set[Id] = field(default_factory=set)
    acknowledged: set[Id] = field(default_factory=set)
    attempts: int = 0
    _resting: int = 0
    _ended: bool = False

    def rest(self) -> None:
        """No new event until `burst` is called as often."""
        self._resting += 1

    def burst(self) -> None:
        self._resting -= 1

    def end(self) -> None:
        """No new event; what is not acknowledged yet is tried on."""
        self._ended = True

    async def run(self) -> None:
        """Until `end` was called and everything is acknowledged."""
        client = http1.Client(keep=2 * self.count)
        try:
            async with anyio.create_task_group() as tasks:
                for writer in range(self.count):
                    tasks.start_soon(self._write, client, writer)
        finally:
            await client.aclose()

    async def _write(self, client: http1.Client, writer: int) -> None:
        number, unpaced = 0, 0
        while not self._ended:
            if self._resting:
                await anyio.sleep(0.05)
                unpaced = BURST
                continue
            began = anyio.current_time()
            await self._publish(client, Id(writer, number))
            number += 1
            if unpaced:
                unpaced -= 1
            else:
                await anyio.sleep(max(0.0, self.count / self.rate - (anyio.current_time() - began)))

    async def _publish(self, client: http1.Client, id: Id) -> None:
        headers = [("ce-specversion", "1.0"), ("ce-type", TYPE), ("ce-source", f"/verify/w{id.writer}"), ("ce-id", str(id))]
        headers.append(("ce-partitionkey", id.key))
        if is_marked(id):
            headers.append((f"ce-{MARK}", "yes"))
        self.published.add(id)
        while True:
            self.attempts += 1
            try:
                answer = await client.request("POST", self.url, headers=headers, body=b"{}", timeout=TIMEOUT)
                if answer.status == 202:
                    self.acknowledged.add(id)
                    return
            except http1.HttpError:
                pass  # it may be stored or not: again, with the same id
            await anyio.sleep(0.1)


def is_marked(id: Id) -> bool:
    return id.number % MARK_EVERY == MARK_EVERY - 1
