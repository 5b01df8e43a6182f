"""The optional methods of a handler object, sync or async: load, start(cfg), stop, alive, ready."""

import inspect
import os
from typing import Any

from kfn.function.threads import Threads


class Hooks:
    """Calls the hooks that the object has. `load` runs in the handler's own thread, for models often belong to one."""

    def __init__(self, target: Any, threads: Threads) -> None:
        self._target = target
        self._threads = threads

    async def start(self) -> None:
        for name in ("load", "start"):
            hook = getattr(self._target, name, None)
            if callable(hook):
                await self._run(hook, *_configuration(hook))

    async def stop(self) -> None:
        hook = getattr(self._target, "stop", None)
        if callable(hook):
            await self._run(hook)

    async def health(self, what: str) -> tuple[bool, str]:
        hook = getattr(self._target, what, None)
        if not callable(hook):
            return True, "OK"
        result = hook()
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, tuple):
            return bool(result[0]), str(result[1]) if len(result) > 1 else ""
        return bool(result), "OK" if result else f"{what}() said no"

    async def _run(self, hook: Any, *args: Any) -> None:
        result = hook(*args) if inspect.iscoroutinefunction(hook) else await self._threads.run(hook, *args)
        if inspect.isawaitable(result):
            await result


def _configuration(hook: Any) -> tuple[dict[str, str], ...]:
    """`start(cfg)` is given the environment; a hook without a parameter is given nothing."""
    required = [
        p
        for p in inspect.signature(hook).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return (dict(os.environ),) if required else ()
