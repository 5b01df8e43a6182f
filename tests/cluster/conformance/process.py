"""Run one of the suite's test programs, so that it finds the platform's names, and tell each result as it comes."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.conformance.results import Outcome, Reader, Result
from tests.cluster.shell import say


def run(program: Path, flags: Sequence[str], env: Mapping[str, str], log: Path, within: float, nameserver: str = "") -> list[Result]:
    """All that it prints goes into `log`. With `nameserver` it asks that one for names, in a mount namespace of its own."""
    command = [str(program), "-test.v", f"-test.timeout={within:.0f}s", *flags]
    if nameserver:
        log.parent.mkdir(parents=True, exist_ok=True)
        resolver = log.with_suffix(".resolv.conf")
        resolver.write_text(f"nameserver {nameserver}\noptions timeout:2 attempts:5\n")
        enter = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter, str(resolver), *command]
    reader = Reader()
    with log.open("w") as out:
        child = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                out.write(line)
                result = reader.read(line)
                if result is not None and ("/" not in result.name or result.outcome is Outcome.FAILED):
                    _tell(result)
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)  # the suite removes what it has made
            child.wait(60)
            raise
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
    results = reader.end()
    if not results:
        say(log.read_text()[-2000:])
    return results


def _tell(result: Result) -> None:
    why = f": {result.said}" if result.outcome is not Outcome.PASSED else ""
    print(f"{result.outcome:8} {result.seconds:6.1f} s  {result.name}{why}", file=sys.stdout, flush=True)
