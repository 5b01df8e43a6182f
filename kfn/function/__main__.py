"""`python -m kfn.function`: serve the function in the current folder, or the one that the environment names."""

import atexit
import os
import sys
import threading

from kfn.function.main import main


def leave(code: int) -> None:
    """End the process. With a thread still at work (a model that loads, a handler that hangs) the interpreter cannot be
    taken down safely: if that thread is printing, Python aborts. What was registered to run at exit has run by then."""
    if threading.active_count() == 1:
        raise SystemExit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
