"""The process of a function: settings from the environment, the handler imported, the server run, an exit code.

Called by `python -m kfn.function` and by the child that the warm parent forks, which may have called `preload` before.
"""

import sys
from time import time

TERMINATED = 128 + 15  # as a shell tells of a process that SIGTERM ended


def main() -> int:
    """Serve the function that the environment names; 0 after a graceful stop, 1 if it cannot start."""
    times = {"started": time()}
    import gc

    gc.disable()  # until it listens: what is imported stays anyway, and looking through it again and again costs a tenth of the start
    import asyncio
    import os
    import signal

    if (
        os.getpid() == 1
    ):  # a container's first process: there SIGTERM does nothing by itself, and an import can take longer than anybody waits
        signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))  # the server puts its own in place of this
    from kfn.function import event, logs
    from kfn.function.errors import StartError
    from kfn.function.settings import from_environ

    source = ""
    try:
        settings = from_environ(os.environ)
        source = settings.source
        logs.configure(settings.log_level)
        if settings.spawned_at is not None:
            times = {"spawned": settings.spawned_at, **times}
        event.own_source = settings.event_source
        from kfn.function import loader, server

        application = loader.load(settings)
        asyncio.run(server.serve(settings, application, times))
    except StartError as error:
        return _report(error)
    except OSError as error:
        return _report(error)
    except Exception as error:
        from kfn.function.faults import explain_failure

        explained = explain_failure(error, os.path.realpath(source), "start or load")
        explained.__cause__ = error
        return _report(explained)
    return 0


def preload() -> None:
    """Import what every function's process needs, so that a forked child finds it there. Starts no thread and no loop."""
    from importlib import import_module

    for name in (
        "asyncio", "queue", "traceback", "urllib.parse", "httptools", "kfn.function.event_http", "kfn.function.faults",
        "kfn.function.kinds.asgi", "kfn.function.kinds.knative", "kfn.function.kinds.plain", "kfn.function.kinds.wsgi",
        "kfn.function.loader", "kfn.function.logs", "kfn.function.message", "kfn.function.rehearsal", "kfn.function.server",
    ):  # fmt: skip
        import_module(name)


def rehearse() -> None:
    """Serve one request of nobody, in the copy of the warm parent that waits to become a function: what a process does for the first
    time costs it most, for every page that it writes to has to be copied. Leaves nothing behind."""
    import asyncio
    import gc

    from kfn.function.rehearsal import perform

    gc.disable()
    asyncio.run(perform())
    gc.disable()  # the server enables it


def _report(error: BaseException) -> int:
    """The traceback of the function's own failure first, what to do last."""
    import traceback

    if error.__cause__ is not None and not isinstance(error.__cause__, SyntaxError):
        traceback.print_exception(error.__cause__)
    message = f"cannot listen: {error}. Set PORT and KFN_HOST." if isinstance(error, OSError) else str(error)
    print(f"kfn: the function cannot start\n{message}", file=sys.stderr, flush=True)
    return 1
