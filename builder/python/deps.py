"""What a function depends on: find its lock or make one, once for all platforms; pick each target's files; have its layers made.

Which files say what is in `requirements.py`, what a lock says in `lockfile.py`; uv chooses (`uv.py`); `deps_layers.py` packs.
Nothing of this starts uv when lock and layers are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio.to_thread

from builder import files
from builder.cache import key
from builder.errors import BuildError, IndexUnreachable, LockStale
from builder.language import Job
from builder.options import FORMAT
from builder.python import lockfile, requirements, sdists, versions
from builder.python.deps_layers import Dependencies, Layered, Making, result
from builder.python.lockfile import Pin
from builder.python.picks import Pick
from builder.python.requirements import Inputs
from builder.python.target import Target
from builder.python.uv import Uv
from builder.sources import rights

LOCK = "kfn.lock"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The lock of a build, for whatever targets it has."""

    uv: Uv
    pins: tuple[Pin, ...]
    warnings: tuple[str, ...] = ()


async def wanted(job: Job, target: Target) -> Wanted | None:
    """What is to be installed, resolved now if the lock is missing or stale. `target` decides nothing but whether an old lock will do."""
    project, options = job.project, job.options
    inputs = await anyio.to_thread.run_sync(requirements.find, project.path, (*project.extras, *options.extras))
    if inputs is None:
        return None
    if job.fetched:
        _check_foreign(inputs.texts or ((inputs.file, f"{inputs.text}{inputs.sources}{inputs.indexes}"),))
    uv = Uv(project.path, inputs, options.offline, project.build_envs, options.allow_sdists or project.allow_sdists)
    pins, told = await _pins(job, uv, target)
    if job.fetched:
        _check_foreign(tuple((LOCK, pin.spec) for pin in pins))
    return Wanted(uv, pins, (*inputs.warnings, *told))


def _check_foreign(texts: Sequence[tuple[str, str]]) -> None:
    """Of a source that is somebody else's no variable of this machine goes anywhere. Raises ForeignSource."""
    if file := next((file for file, text in texts if rights.expands(text)), ""):
        raise rights.refuse_variables(file)


async def dependencies(job: Job, lock: Wanted | None, target: Target) -> Dependencies:
    """The layers of a lock for one target."""
    if lock is None or not lock.pins:
        return Dependencies(warnings=lock.warnings if lock else ())
    name = key(FORMAT, "deps", target.python.version, target.python.tag, target.wheels, [str(pin) for pin in lock.pins])
    parts = {"python": target.python.version, "wheels": target.wheels, "packages": _versions(lock.pins)}
    job.cache.note(f"deps for {target.platform}", **parts)
    await job.cache.look(name)
    found = _known(job, name)
    if found is None:
        async with job.cache.making(name, job.options.install_timeout):
            found = _known(job, name) or await _made(job, lock, target, name)
    return replace(found, warnings=(*lock.warnings, *found.warnings))


def _versions(pins: Sequence[Pin]) -> dict[str, str]:
    """For a person, by name. The same version with other hashes counts too."""
    found: dict[str, str] = {}
    for pin in pins:
        version = pin.spec.partition(";")[0].strip().removeprefix(f"{pin.name}==")
        files = "" if "==" in pin.spec else f" {key(pin.spec, pin.hashes)[:8]}"
        found[pin.name] = ", ".join(filter(None, (found.get(pin.name), version + files)))
    return found


def _known(job: Job, name: str) -> Dependencies | None:
    """The layers that this very lock gave before, if all are still there."""
    facts = job.cache.facts(name)
    if not facts:
        return None
    found = [(one, job.cache.get(one)) for one in facts["layers"]]
    made = [Layered(one, cached, False) for one, cached in found if cached]
    return result(made, facts["packages"], facts["warnings"]) if len(made) == len(found) else None


async def _made(job: Job, lock: Wanted, target: Target, name: str) -> Dependencies:
    try:
        picks, made, warnings = await _layers(job, lock, lock.uv, target)
    except IndexUnreachable:
        if lock.uv.offline:
            raise
        # What is locked may be in uv's cache already, and then nobody has to be asked.
        try:
            picks, made, warnings = await _layers(job, lock, replace(lock.uv, offline=True), target)
        except (IndexUnreachable, BuildError):
            picks = ()
        if not picks:
            raise
        warnings = [*warnings, "the package index did not answer; what is locked was in uv's cache"]
    job.cache.remember(name, {"layers": [m.key for m in made], "packages": len(picks), "warnings": warnings})
    return result(made, len(picks), warnings)


async def _layers(job: Job, lock: Wanted, uv: Uv, target: Target) -> tuple[Sequence[Pick], list[Layered], list[str]]:
    picks = await uv.pick(lock.pins, target, job.options.resolve_timeout)
    made, warnings = await Making(job.cache, target, job.options, uv, picks).make() if picks else ([], [])
    if source := [pick for pick in picks if not pick.wheel]:
        warnings = [*warnings, sdists.warning(source)]
    return picks, made, warnings


async def _pins(job: Job, uv: Uv, target: Target) -> tuple[tuple[Pin, ...], tuple[str, ...]]:
    """What is locked, and what to tell about it."""
    inputs = uv.inputs
    if inputs.kind == "uv":
        return lockfile.parse(await _exported(job, uv), inputs.file), ()
    if inputs.kind == "pylock":
        return lockfile.parse_pylock(inputs.text), ()
    if inputs.kind == "hashed":
        return lockfile.parse(inputs.text, inputs.file), ()
    path = uv.root / LOCK
    old = path.read_text("utf-8") if path.is_file() else ""
    lowest = versions.lowest(inputs.requires)
    known = f"sha256:{key(inputs.digest, 'universal', lowest, *(('sdists',) if uv.sdists else ()))}"
    if lockfile.universal(old) and lockfile.inputs_of(old) == known:
        return lockfile.parse(old, LOCK), ()
    fits = lockfile.inputs_of(old) == f"sha256:{key(inputs.digest, target.python.minor, target.wheels)}"
    if job.options.locked:
        if old and fits:
            return lockfile.parse(old, LOCK), (f"{LOCK} is for {target} only; build once without --locked to lock for every platform",)
        raise LockStale(f"{_why(old, inputs)}; build once without --locked")
    resolved = await uv.resolve(lowest, old, job.options.resolve_timeout)
    pins = lockfile.parse(resolved, inputs.file)
    try:
        await anyio.to_thread.run_sync(files.write, path, lockfile.with_header(known, lowest, resolved).encode())
    except OSError as error:
        return pins, (f"{LOCK} could not be written ({error.strerror}), so the next build may choose other versions",)
    if old and not lockfile.universal(old):
        kept = "the versions that it had" if fits else "those of its versions that still fit"
        return pins, (f"{LOCK} was for one platform and is now for all, with {kept}",)
    return pins, ((f"{LOCK} was made anew from {inputs.file}",) if old else ())


def _why(old: str, inputs: Inputs) -> str:
    what = inputs.file if inputs.file != "pyproject.toml" else f"{inputs.file}, or the extras that are asked for,"
    if old and not lockfile.universal(old):
        return f"it is an earlier kfn's, for one platform only, or {what} changed since it was made"
    return f"{what} changed since it was made" if old else "there is none"


async def _exported(job: Job, uv: Uv) -> str:
    """uv.lock as requirements, remembered: the same file gives the same."""
    name = key(FORMAT, "uv export", uv.inputs.digest)
    if facts := job.cache.facts(name):
        return str(facts["text"])
    text = await uv.export(job.options.resolve_timeout)
    job.cache.remember(name, {"text": lockfile.relative(text, str(uv.root), uv.inputs.file)})
    return text
