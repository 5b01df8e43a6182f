"""Threads for handlers that block. Daemons, so that one that never returns cannot keep the process from ending."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from kfn.function.errors import FunctionError


class HandlerExited(FunctionError):
    """The handler called sys.exit(), which ends nothing in a server."""


class Threads:
    """At most `size` threads, started when they are needed; calls beyond that wait their turn."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._started = 0
        self._busy = 0

    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call it in a thread, in a copy of this task's context. If this task is cancelled, the call still runs to its end."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._busy += 1
        if self._busy > self._started and self._started < self.size:
            self._started += 1
            threading.Thread(target=self._work, name=f"kfn-handler-{self._started}", daemon=True).start()
        self._jobs.put((loop, future, copy_context(), call, args))
        return await future

    def stop(self) -> None:
        """Let idle threads end."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, context, call, args = job
            result, error = _attempt(context, future, call, args)
            try:
                loop.call_soon_threadsafe(self._settle, future, result, error)
            except RuntimeError:  # the loop has closed: nobody waits
                return

    def _settle(self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        self._busy -= 1
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _attempt(
    context: Context, future: "asyncio.Future[Any]", call: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Any, BaseException | None]:
    if future.cancelled():
        return None, None
    try:
        return context.run(call, *args), None
    except StopIteration:
        return None, RuntimeError("the handler raised StopIteration")
    except (SystemExit, KeyboardInterrupt) as error:
        return None, HandlerExited(f"the handler called sys.exit({error.args[0] if error.args else ''})")
    except BaseException as error:
        return None, error
