"""Leader election in virtual time, against an API server in memory."""

import anyio
import pytest

from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.lease import Elector, LostLease, Terms
from tests.fakes.kube import FakeApi

TERMS = Terms(duration=15, renew_deadline=10, retry=2)


def elector(api: FakeApi, identity: str) -> Elector:
    return Elector(Client(api), "kube-system", "controller", identity, TERMS)


async def hold(seconds: float, log: list[tuple[str, float]], who: str) -> None:
    log.append((f"{who} begins", anyio.current_time()))
    await anyio.sleep(seconds)
    log.append((f"{who} ends", anyio.current_time()))


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
        with anyio.move_on_after(30):
            await elector(api, "a").lead(lambda: hold(1000, log, "a"))
        died = anyio.current_time()
        await elector(api, "b").lead(lambda: hold(1, log, "b"))
        tasks.cancel_scope.cancel()
    began = next(at for what, at in log if what == "b begins")
    assert TERMS.duration <= began - died <= TERMS.duration + 2 * TERMS.retry


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
