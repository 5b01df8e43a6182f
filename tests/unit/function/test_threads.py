"""Calls in threads."""

import asyncio
import threading

import pytest

from kfn.function.threads import HandlerExited, Threads


class TestThreads:
    async def test_one_thread_is_always_the_same(self) -> None:
        threads = Threads(1)
        idents = {await threads.run(threading.get_ident) for _ in range(3)}
        assert len(idents) == 1
        assert idents != {threading.get_ident()}
        threads.stop()

    async def test_no_more_threads_run_than_allowed(self) -> None:
        threads, running, most = Threads(2), 0, 0
        lock = threading.Lock()

        def work() -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1

        await asyncio.gather(*(threads.run(work) for _ in range(20)))
        assert most <= 2
        threads.stop()

    async def test_what_it_raises_is_raised(self) -> None:
        threads = Threads(1)
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        with pytest.raises(HandlerExited):
            await threads.run(exit_now)
        with pytest.raises(RuntimeError):
            await threads.run(next, iter(()))
        threads.stop()


def exit_now() -> None:
    raise SystemExit(2)
