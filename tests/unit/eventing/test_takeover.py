"""What a replica that takes over waits for: events of a key that its predecessor may still have had in work."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from eventing import errors
from eventing.delivery import DEFAULT, policy
from eventing.settle import Subscription
from eventing.takeover import Takeover

KEY = "w1"
SUB = Subscription("default", "orders", "ordered", "uid-1", "http://sink", "", policy(DEFAULT))


class Told:
    """A server with events of one key at these sequences, of which `given` is the last that anybody got, and `pending` are not settled."""

    def __init__(self, stored: list[int], given: int, pending: int) -> None:
        self._stored, self._given, self._pending = stored, given, pending

    async def consumer_info(self, stream: str, name: str) -> dict[str, Any]:
        return {"num_ack_pending": self._pending, "ack_floor": {"stream_seq": 0}, "delivered": {"stream_seq": self._given}}

    async def api(self, call: str, asked: dict[str, Any]) -> dict[str, Any]:
        found = next((one for one in self._stored if one >= asked["seq"]), None)
        if found is None or ".to." in asked["next_by_subj"]:
            raise errors.NoMessage("no message found")
        subject = f"kfn.default.orders.ev.t.{KEY}"
        return {"message": {"seq": found, "time": "", "subject": subject, "hdrs": base64.b64encode(b"NATS/1.0\r\n\r\n").decode()}}


@asynccontextmanager
async def quiet() -> AsyncIterator[None]:
    yield


def taking_over(server: Told, held: set[int]) -> Takeover:
    return Takeover(server, SUB, held, lambda: held, quiet)  # type: ignore[arg-type]


async def clears(takeover: Takeover, sequence: int) -> bool:
    with anyio.move_on_after(0.1):
        await takeover.clear(KEY, sequence)
        return True
    return False


class TestAKeyOfWhichSomethingIsInDoubt:
    async def test_goes_on_with_its_oldest_but_with_no_later_one_that_has_others_before_it(self) -> None:
        held = {10, 90}
        takeover = taking_over(Told([10, 20, 30, 90], given=50, pending=4), held)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(takeover.run)
            assert await clears(takeover, 10)  # nothing of the key is before it
            assert not await clears(takeover, 90)  # 20 and 30 are with somebody, or lost on the way
            tasks.cancel_scope.cancel()

    async def test_goes_on_once_everything_that_was_given_out_has_come(self) -> None:
        held = {10}
        takeover = taking_over(Told([10, 20, 30, 90], given=50, pending=3), held)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(takeover.run)
            assert await clears(takeover, 10)
            for sequence in (30, 20):
                assert not takeover.is_over
                takeover.received(sequence)
                held.add(sequence)
            assert await clears(takeover, 90)
            tasks.cancel_scope.cancel()

    async def test_is_asked_about_no_more_when_all_of_it_is_ours(self) -> None:
        server = Told([10, 20, 90], given=50, pending=9)
        takeover = taking_over(server, {10, 20, 90})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(takeover.run)
            assert await clears(takeover, 90)
            server._stored = [40]  # asked again, it would wait
            assert await clears(takeover, 95)
            tasks.cancel_scope.cancel()
