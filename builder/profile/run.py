"""Makes the profile of a function's start: its layers as folders, its handler imported by its own interpreter in a clean process."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread

from builder import process
from builder.cache import Cache
from builder.errors import BuildError
from builder.oci import Layer
from builder.profile import report
from builder.profile.importtime import parse
from builder.profile.report import Profile
from builder.profile.worker import MARKS
from builder.python.interpreter import Interpreter
from builder.python.paths import DEPS, FUNC, RUNTIME
from builder.unpack import unpacked

TIMEOUT = 20.0  # seconds that an import may take; a build waits for it
MEMORY = 16 << 30  # bytes of data; libraries of inference reserve much and use little
_CAGE, _WORKER = Path(__file__).with_name("cage.py"), Path(__file__).with_name("worker.py")


@dataclass(frozen=True, slots=True)
class Start:
    """What starts in an image. `stamp` names what the source imports: with the same one an earlier profile still tells the truth."""

    python: Interpreter
    handler: str
    own: frozenset[str]  # top-level modules of the source
    alone: bool  # without the interpreter's own site-packages: it is this machine's, not the image's
    stamp: str
    env: tuple[tuple[str, str], ...] = ()  # of func.yaml, those whose values are known


class NotMeasured(Exception):
    """The handler could not be imported here; the message says why."""


async def measure(cache: Cache, layers: Sequence[Layer], start: Start) -> Profile:
    """Import the handler once. Raises NotMeasured."""
    folders = [await anyio.to_thread.run_sync(partial(unpacked, cache, layer)) for layer in layers]
    source = next((folder / FUNC for folder in reversed(folders) if (folder / FUNC).is_dir()), None)
    if source is None:
        raise NotMeasured("the image has no source")
    job = {
        "runtime": [str(folder / RUNTIME) for folder in folders if (folder / RUNTIME).is_dir()],
        "deps": [str(folder / DEPS) for folder in folders if (folder / DEPS).is_dir()],
        "source": str(source),
        "handler": start.handler,
    }
    with cache.folder() as scratch:
        argv = [*start.python.command, *(("-S",) if start.alone else ()), "-s", "-X", "importtime", "-B", str(_WORKER), json.dumps(job)]
        cage = [sys.executable, "-I", "-S", str(_CAGE), str(int(TIMEOUT)), str(MEMORY), "--"]
        env = {**dict(start.env), "HOME": str(scratch), "TMPDIR": str(scratch), "LANG": "C.UTF-8", "KFN_SOURCE": str(source)}
        try:
            ended = await process.run([*cage, *argv], timeout=TIMEOUT, cwd=scratch, env=env)
        except BuildError as error:
            raise NotMeasured(str(error)) from None
    return _read(ended, start)


def _read(ended: process.Ended, start: Start) -> Profile:
    err = ended.stderr.decode("utf-8", "replace")
    lines = ended.stdout.decode("utf-8", "replace").strip().splitlines()
    if ended.code or not lines:
        last = err.strip().splitlines()[-1:] or [f"exit code {ended.code}"]
        raise NotMeasured(f"the interpreter ended: {last[0][:300]}")
    try:
        answer = json.loads(lines[-1])
        if answer["error"]:
            raise NotMeasured(str(answer["error"])[:600])
        interpreter, runtime = (round(max(0.0, float(answer[phase])) * 1e6) for phase in ("interpreter", "runtime"))
        standard = frozenset(map(str, answer["standard"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise NotMeasured("what was imported wrote over the answer") from None
    handler = err.partition(f"\n{MARKS[1]}\n")[2].partition(f"\n{MARKS[2]}\n")[0]
    return report.profile(interpreter, runtime, parse(handler), start.own, standard)
