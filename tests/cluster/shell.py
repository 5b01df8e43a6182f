"""Run a program to its end, and show what a step is and how long it took."""

import subprocess
import sys
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


def until(holds: Callable[[], object], why: Callable[[], str], within: float = 60.0, every: float = 0.2) -> None:
    """Until `holds` returns something true. `why` is what is said if it never does; an error of `holds` ends the waiting."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise Failed(why())
        time.sleep(every)  # noqa: TID251 - no event loop here


def wait_for(what: str, ready: Callable[[], object], within: float, every: float = 0.1) -> None:
    """The same for what may fail at first: the last error is in the message if it never comes true."""
    reason: object = "it is not so"

    def holds() -> object:
        nonlocal reason
        try:
            return ready()
        except Dead:
            raise
        except Exception as error:  # whatever a half-started server answers
            reason = error
            return False

    until(holds, lambda: f"{what}: not within {within:.0f} s: {reason}", within, every)


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
