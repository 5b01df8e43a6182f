"""Leader election in virtual time, against an API server in memory."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from kfn.api import kinds
from kfn.api.core import ConfigMap
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.fence import Fenced
from kfn.kube.lease import Elector, LostLease, Terms
from kfn.kube.transport import Response
from tests.fakes.kube import FakeApi

TERMS = Terms(duration=15, renew_deadline=10, retry=2)


def elector(api: FakeApi, identity: str) -> Elector:
    return Elector(Client(api), "kube-system", "controller", identity, TERMS)


async def hold(seconds: float, log: list[tuple[str, float]], who: str) -> None:
    log.append((f"{who} begins", anyio.current_time()))
    await anyio.sleep(seconds)
    log.append((f"{who} ends", anyio.current_time()))


async def within(scope: anyio.CancelScope, one: Elector, work: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await one.lead(work)


def away(method: str, path: str) -> None:
    raise errors.Unreachable("the API server is away")


async def until_cancelled(log: list[tuple[str, float]]) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        log.append(("ends", anyio.current_time()))


class Slow(Fenced):
    """An API server that takes its time. `began`: when each request was sent."""

    def __init__(self, api: FakeApi, seconds: Callable[[], float]) -> None:
        super().__init__(api, lambda: True)
        self.began: list[float] = []
        self._seconds = seconds

    async def request(self, *args: Any, **more: Any) -> Response:
        self.began.append(anyio.current_time())
        await anyio.sleep(self._seconds())
        return await super().request(*args, **more)


async def test_only_one_acts_and_the_next_takes_over_at_once_when_it_lets_go() -> None:
    api = FakeApi()
    log: list[tuple[str, float]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(elector(api, "a").lead, lambda: hold(60, log, "a"))
        await anyio.sleep(0.1)
        tasks.start_soon(elector(api, "b").lead, lambda: hold(1, log, "b"))
    (_, _), (ended, a_end), (began, b_begin), _ = log
    assert (ended, began) == ("a ends", "b begins")
    assert 0 <= b_begin - a_end <= TERMS.retry + 1.1


async def test_a_dead_holder_is_succeeded_after_its_lease_ran_out_and_not_before() -> None:
    api = FakeApi()
    log: list[tuple[str, float]] = []
    died = 0.0
    async with anyio.create_task_group() as tasks:
        dying = anyio.CancelScope()
        tasks.start_soon(within, dying, elector(api, "a"), lambda: hold(1000, log, "a"))
        await anyio.sleep(30)
        api.before = away  # a killed process says no farewell
        dying.cancel()
        await anyio.sleep(0.01)
        api.before = None
        died = anyio.current_time()
        await elector(api, "b").lead(lambda: hold(1, log, "b"))
        tasks.cancel_scope.cancel()
    began = next(at for what, at in log if what == "b begins")
    assert TERMS.duration - TERMS.retry <= began - died <= TERMS.duration + 2 * TERMS.retry


async def test_a_holder_that_cannot_renew_stops_before_another_may_take_over() -> None:
    api = FakeApi()
    log: list[tuple[str, float]] = []

    def away(method: str, path: str) -> None:
        if anyio.current_time() - start > 20:
            raise errors.Unreachable("the API server is away")

    start = anyio.current_time()
    api.before = away
    with pytest.raises(LostLease):
        await elector(api, "a").lead(lambda: hold(1000, log, "a"))
    assert anyio.current_time() - start - 20 < TERMS.duration
    assert ("a ends") not in [what for what, _ in log]


async def test_one_that_stops_in_order_lets_go_after_its_work_has_ended() -> None:
    api = FakeApi()
    log: list[tuple[str, float]] = []

    async def slow_to_end() -> None:
        try:
            await hold(1000, log, "a")
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            log.append(("a ends", anyio.current_time()))

    async with anyio.create_task_group() as tasks:
        stopping = anyio.CancelScope()
        tasks.start_soon(within, stopping, elector(api, "a"), slow_to_end)
        await anyio.sleep(30)
        stopping.cancel()
        await elector(api, "b").lead(lambda: hold(1, log, "b"))
    (_, _), (ended, a_end), (began, b_begin), _ = log
    assert (ended, began) == ("a ends", "b begins")
    assert b_begin - a_end <= TERMS.retry + 1.1


class TestWhatASlowApiServerCosts:
    async def test_no_answer_for_long_never_makes_two_holders(self) -> None:
        """Each attempt may take 4 s; the deadline counts from when the last good one began, and cuts an attempt short."""
        api = FakeApi()
        log: list[tuple[str, float]] = []
        start = anyio.current_time()
        slow = Slow(api, lambda: 0.0 if anyio.current_time() - start < 19 else 3.9)
        one = Elector(Client(slow), "kube-system", "controller", "a", TERMS)
        api.before = lambda method, path: away(method, path) if anyio.current_time() - start > 24 else None
        with pytest.raises(LostLease):
            await one.lead(lambda: until_cancelled(log))
        last = max(at for at in slow.began if at - start < 20.1)  # the last that came through
        assert log[0][1] - last <= TERMS.renew_deadline + 0.01

    async def test_work_that_does_not_end_is_told_of_before_another_may_begin(self) -> None:
        api = FakeApi()
        told: list[float] = []
        one = Elector(Client(api), "kube-system", "controller", "a", TERMS, overran=lambda: told.append(anyio.current_time()))

        async def stubborn() -> None:
            api.before = away
            with anyio.CancelScope(shield=True):
                await anyio.sleep(60)

        start = anyio.current_time()
        with pytest.raises(LostLease):
            await one.lead(stubborn)
        assert told
        assert told[0] - start <= TERMS.duration


class TestHolds:
    async def test_a_process_that_was_stopped_knows_when_it_goes_on_that_it_holds_nothing(self) -> None:
        one = elector(FakeApi(), "a")
        assert not one.holds()
        assert await one._try()
        assert one.holds()
        await anyio.sleep(TERMS.renew_deadline + 0.1)
        assert not one.holds()

    async def test_and_writes_nothing(self) -> None:
        api = FakeApi()
        may = True
        client = Client(Fenced(api, lambda: may))
        await client.create(kinds.CONFIG_MAP, ConfigMap(metadata=ObjectMeta(name="one", namespace="default")), "default")
        may = False
        with pytest.raises(errors.Unreachable, match="lease is not held"):
            await client.delete(kinds.CONFIG_MAP, "one", "default")
        assert (await client.get(kinds.CONFIG_MAP, "one", "default")).metadata.name == "one"
