"""Run a program to its end, and show what a step is and how long it took."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class Failed(Exception):
    """A step of the test cluster failed; the message has the program's own words."""


class Dead(Failed):
    """A program ended that should serve: no use to wait on."""


def run(*command: str, check: bool = True, timeout: float = 60.0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=stdin if stdin is not None else "", capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done


def wait_for(what: str, ready: Callable[[], object], within: float, every: float = 0.1) -> None:
    """Until `ready` returns something true; its last error is in the message if it never does."""
    end = time.monotonic() + within
    reason: object = "it is not so"
    while True:
        try:
            if ready():
                return
        except Dead:
            raise
        except Exception as error:  # whatever a half-started server answers
            reason = error
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {within:.0f} s: {reason}")
        threading.Event().wait(every)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    say(f"{time.monotonic() - begin:6.1f} s  {text}")


def missing(programs: Sequence[str]) -> list[str]:
    from shutil import which

    return [program for program in programs if not which(program, path=SEARCH)]


SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
