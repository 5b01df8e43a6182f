"""What a function depends on: find its lock or make one, then have its layers made (`deps_layers.py`).

Which files say what is in `requirements.py`, what a lock says in `lockfile.py`; uv chooses (`uv.py`).
"""

from dataclasses import replace

import anyio.to_thread

from builder import files
from builder.base.model import Base
from builder.cache import Cache, key
from builder.errors import LockStale
from builder.options import BuildOptions
from builder.project import Project
from builder.python import lockfile, requirements
from builder.python.deps_layers import Dependencies, Making
from builder.python.interpreter import Interpreter
from builder.python.lockfile import Pin
from builder.python.requirements import Inputs
from builder.python.uv import Uv, wheels_for

LOCK = "kfn.lock"


async def dependencies(cache: Cache, base: Base, python: Interpreter, project: Project, options: BuildOptions) -> Dependencies:
    inputs = await anyio.to_thread.run_sync(requirements.find, project.path)
    if inputs is None:
        return Dependencies()
    uv = Uv(project.path, python, options.wheels or wheels_for(base), options.offline, project.build_envs, inputs.index)
    pins, warnings = await _pins(uv, inputs, options)
    warnings = (*inputs.warnings, *warnings)
    if not pins:
        return Dependencies(warnings=warnings)
    making = Making(cache, python, options, uv, inputs.file, pins)
    found = making.known()
    if found is None:
        async with cache.making(making.whole, options.install_timeout):
            found = making.known() or await making.make()
    return replace(found, warnings=(*warnings, *found.warnings))


async def _pins(uv: Uv, inputs: Inputs, options: BuildOptions) -> tuple[tuple[Pin, ...], tuple[str, ...]]:
    """What is to be installed, and what to tell about it."""
    if inputs.kind == "uv":
        return lockfile.parse(await uv.export(options.resolve_timeout), inputs.file), ()
    if inputs.kind == "pylock":
        return lockfile.parse_pylock(inputs.text), ()
    if inputs.kind == "hashed":
        return lockfile.parse(inputs.text, inputs.file), ()
    path = uv.root / LOCK
    wanted = f"sha256:{key(inputs.digest, uv.python.minor, uv.wheels)}"
    old = path.read_text("utf-8") if path.is_file() else ""
    if lockfile.inputs_of(old) == wanted:
        return lockfile.parse(old, LOCK), ()
    if options.locked:
        why = f"{inputs.file} changed since it was made" if old else "there is none"
        raise LockStale(f"{why}, for Python {uv.python.minor} on {uv.wheels or 'this machine'}; build once without --locked")
    resolved = await uv.resolve(inputs, old, options.resolve_timeout)
    pins = lockfile.parse(resolved, inputs.file)
    try:
        await anyio.to_thread.run_sync(files.write, path, lockfile.with_header(wanted, resolved).encode())
    except OSError as error:
        return pins, (f"{LOCK} could not be written ({error.strerror}), so the next build may choose other versions",)
    return pins, ((f"{LOCK} was made anew from {inputs.file}",) if old else ())
