"""A Python function: kfn's runtime, the dependencies, the source with its bytecode. What each layer holds is in `builder/python/`."""

from dataclasses import asdict

from builder.base.model import NONE, Base
from builder.cache import Cache, key
from builder.errors import PythonUnfit, UsageError
from builder.language import Job, Parts
from builder.options import FORMAT, BuiltLayer, Step, count, size
from builder.platform import host
from builder.profile.run import Start
from builder.python import interpreter, versions
from builder.python import target as targets
from builder.python.deps import Wanted, dependencies, wanted
from builder.python.deps_layers import Dependencies, component
from builder.python.imports import preload
from builder.python.interpreter import Interpreter
from builder.python.paths import FUNC, RUNTIME
from builder.python.requirements import requires_python
from builder.python.runtime import runtime_layer
from builder.python.source_layer import SourceLayer, glance, source_layer
from builder.python.versions import allows
from builder.sources import leftout


class PythonFunction:
    """One build of a Python function."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._locked: list[Wanted | None] = []  # once it is known; the same for every platform
        self._sources: dict[tuple[str, str], SourceLayer] = {}  # by the version and tag of the interpreter

    def base(self) -> str:
        project = self._job.project
        return versions.base(project.python, requires_python(project.path))

    async def check(self) -> None:
        """With the interpreter that the image will have if it is at hand, else with kfn's own, which may be too old to judge."""
        job = self._job
        base = job.options.base or (job.project.base or self.base() if job.options.leaves else NONE)
        if base == versions.NEWEST:
            base = self.base()
        if base == NONE:
            python = await interpreter.find(job.options.python)
            self._fits(Base(NONE, host(), python=python), python)
            await self._source(python)
            return
        if known := _remembered(job.cache, base):
            await self._source(known)
        else:
            await glance(job, base.removeprefix("python"))

    async def parts(self, base: Base) -> Parts:
        job, python = self._job, base.python
        if python is None:
            raise UsageError(f"--base {base.name}: it has no Python, which {job.project.name} needs")
        self._fits(base, python)
        code = await self._source(python)
        target = targets.of(base, python, job.options.wheels)
        if not self._locked:
            self._locked.append(await wanted(job, target))
        deps = await dependencies(job, self._locked[0], target)
        told = f"{count(deps.packages, 'package')}, {count(len(deps.layers), 'layer')}" if deps.layers else "none"
        job.tell(Step("deps", told, all(b.cached for b in deps.layers)))
        if base.name != NONE:
            job.cache.remember(_place(base.name), asdict(python))
        runtime, runtime_cached = await runtime_layer(job.cache, base, target, job.options)
        job.tell(Step("runtime", f"kfn's function server, {size(runtime.layer.size)}", runtime_cached))
        chosen = job.project.preload if job.project.preload is not None else preload(code.handler, code.imports, deps.modules)
        return Parts(
            layers=(
                BuiltLayer(runtime.layer, "kfn runtime", runtime_cached),
                *deps.layers,
                BuiltLayer(code.made.layer, count(len(job.source.files), "file"), code.cached),
            ),
            entrypoint=("python3", f"/{RUNTIME}/start.py"),
            handler=code.handler,
            folder=f"/{FUNC}",
            env=(f"KFN_HANDLER={code.handler}", f"KFN_SOURCE=/{FUNC}", "PYTHONUNBUFFERED=1"),
            labels={
                "dev.kfn.runtime": "python",
                "dev.kfn.python": python.version,
                "dev.kfn.handler": code.handler,
                "dev.kfn.preload": ",".join(chosen),
                "dev.kfn.invoke": job.project.invoke,
            },
            annotations={"dev.kfn.handler": code.handler, "dev.kfn.python": python.version},
            components=(*map(component, runtime.facts["components"]), *deps.components),
            warnings=(*leftout.modules(job.source.left_out, code.imports), *deps.warnings),
            start=self._start(base, python, code, runtime.layer.diff_id, deps),
        )

    def _start(self, base: Base, python: Interpreter, code: SourceLayer, runtime: str, deps: Dependencies) -> Start:
        """With a budget every source is measured; without one an earlier profile serves while the same things are imported."""
        project = self._job.project
        exact = [code.made.layer.diff_id] if project.cold_start else [code.imports]
        stamp = key(base.digest, runtime, [built.layer.diff_id for built in deps.layers], exact)
        own = frozenset(path.partition("/")[0].removesuffix(".py") for path in code.imports)
        env = tuple((one.name, one.value) for one in project.envs if one.name and not (one.secret or one.config_map))
        return Start(python, code.handler, own, base.name == NONE, stamp, env)

    def _fits(self, base: Base, python: Interpreter) -> None:
        """Refuse a Python that the project does not want."""
        wanted = self._job.project.python
        requires = requires_python(self._job.project.path)
        if allows(requires, python.version) and wanted in ("", python.minor):
            return
        why = f"kfn.python is {wanted}" if wanted not in ("", python.minor) else f"requires-python in pyproject.toml is {requires}"
        if base.name == NONE:
            raise PythonUnfit(
                f"{why}, and without a base the function is run by this machine's Python {python.version}. Run kfn with the other one, "
                f"or build for a base: {versions.base(wanted, requires)}"
            )
        raise PythonUnfit(f"{why}, and --base {base.name} has Python {python.version}; kfn's own bases have {' and '.join(versions.BASES)}")

    async def _source(self, python: Interpreter) -> SourceLayer:
        """Made once for all platforms whose Python is the same."""
        job, which = self._job, (python.version, python.tag)
        if which in self._sources:
            return self._sources[which]
        code = self._sources[which] = await source_layer(job.cache, python, job.source, job.project.handler, job.options.check_timeout)
        job.tell(Step("source", f"{count(len(job.source.files), 'file')}, {size(job.source.size)}, handler {code.handler}", code.cached))
        return code


def _place(base: str) -> str:
    return key("python of", FORMAT, base)


def _remembered(cache: Cache, base: str) -> Interpreter | None:
    """The interpreter that a base had when it was last used, if it is still there."""
    return interpreter.known(cache.facts(_place(base)))
