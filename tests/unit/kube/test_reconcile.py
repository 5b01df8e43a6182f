"""The reconcile loop in virtual time."""

import asyncio

import anyio
import pytest

from kfn.kube import errors
from kfn.kube.reconcile import Done, Keys, Terminal, run


async def test_failures_back_off_and_success_resyncs() -> None:
    seen: list[float] = []

    async def reconcile(key: str) -> Done:
        seen.append(anyio.current_time())
        if len(seen) < 3:
            raise ConnectionError("apiserver away")
        return Done(again_after=30)

    keys = Keys()
    keys.add("default/hello")
    start = anyio.current_time()
    with anyio.move_on_after(40):
        await run(keys, reconcile)
    assert [round(t - start, 3) for t in seen] == [0, 0.5, 1.5, 31.5]


async def test_a_key_is_never_reconciled_twice_at_once() -> None:
    keys, running, most, times = Keys(), 0, 0, 0

    async def reconcile(key: str) -> Done:
        nonlocal running, most, times
        running += 1
        times += 1
        most = max(most, running)
        keys.add(key)  # it changes while we work on it
        await anyio.sleep(1)
        running -= 1
        return Done()

    keys.add("a")
    with anyio.move_on_after(5.5):
        await run(keys, reconcile)
    assert most == 1
    assert times == 6


async def test_different_keys_are_worked_on_side_by_side() -> None:
    keys, running, most = Keys(), 0, 0

    async def reconcile(key: str) -> Done:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(1)
        running -= 1
        return Done()

    for key in "abcdef":
        keys.add(key)
    with anyio.move_on_after(5):
        await run(keys, reconcile, workers=3)
    assert most == 3


async def test_terminal_is_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    async def reconcile(key: str) -> Done:
        nonlocal calls
        calls += 1
        raise Terminal("bad spec")

    keys = Keys()
    keys.add("a")
    with anyio.move_on_after(600):
        await run(keys, reconcile)
    assert calls == 1
    assert "giving up on a: bad spec" in caplog.text


async def test_a_conflict_is_retried_soon_and_quietly(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[float] = []

    async def reconcile(key: str) -> Done:
        seen.append(anyio.current_time())
        if len(seen) == 1:
            raise errors.Conflict(409, "Conflict", "the object has been modified")
        return Done()

    keys = Keys()
    keys.add("a")
    with anyio.move_on_after(5):
        await run(keys, reconcile)
    assert seen[1] - seen[0] == pytest.approx(0.02)
    assert not caplog.records


async def test_resyncs_of_one_key_do_not_pile_up() -> None:
    seen: list[float] = []

    async def reconcile(key: str) -> Done:
        seen.append(anyio.current_time())
        return Done(again_after=10)

    keys = Keys()
    keys.add("a")

    async def change_often() -> None:
        for _ in range(5):
            await anyio.sleep(1)
            keys.add("a")

    with anyio.move_on_after(16):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change_often)
            tasks.start_soon(run, keys, reconcile)
    assert len(seen) <= 8, "one resync each ten seconds, not one for each of the six reconciles"


async def test_what_is_added_for_later_is_gathered_into_one_look() -> None:
    keys, times = Keys(), []

    async def reconcile(key: str) -> Done:
        times.append(anyio.current_time() - start)
        return Done()

    start = anyio.current_time()
    keys.add("a", after=0.02)
    keys.add("a", after=0.02)
    assert len(keys) == 1
    with anyio.move_on_after(5):
        await run(keys, reconcile)
    assert [round(t, 3) for t in times] == [0.02]


async def test_nothing_is_kept_for_objects_that_are_gone() -> None:
    """Thousands of functions may come and go within one progress deadline."""
    exists = {f"default/f{i}" for i in range(50)}

    async def reconcile(key: str) -> Done:
        return Done(again_after=600) if key in exists else Done()

    keys = Keys()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, keys, reconcile)
        await anyio.sleep(1)
        before = _waiting()
        for key in exists:
            keys.add(key)
        await anyio.sleep(1)
        assert _waiting() >= before + 50
        gone, _ = tuple(exists), exists.clear()
        for key in gone:
            keys.add(key)
        await anyio.sleep(1)
        assert _waiting() <= before + 1
        tasks.cancel_scope.cancel()


async def test_what_waits_ends_with_the_loop_that_it_waits_for() -> None:
    async def reconcile(key: str) -> Done:
        return Done(again_after=600)

    keys = Keys()
    keys.add("a")
    before = _waiting()
    with anyio.move_on_after(1):
        await run(keys, reconcile)
    assert _waiting() == before


def _waiting() -> int:
    """Tasks and timers."""
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return len(asyncio.all_tasks()) + sum(not timer.cancelled() for timer in timers)
