"""A Python function: kfn's runtime, the dependencies, the source with its bytecode. What each layer holds is in `builder/python/`."""

from builder.base.model import NONE, Base
from builder.cache import key
from builder.errors import UsageError
from builder.language import Job, Parts
from builder.options import BuiltLayer, Step, count, size
from builder.profile.run import Start
from builder.python.deps import dependencies
from builder.python.deps_layers import Dependencies
from builder.python.imports import preload
from builder.python.interpreter import Interpreter
from builder.python.paths import FUNC, RUNTIME
from builder.python.runtime import runtime_layer
from builder.python.source_layer import SourceLayer, source_layer
from builder.sources import leftout


class PythonFunction:
    """One build of a Python function."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def base(self) -> str:
        return NONE  # until there is a composed one

    async def check(self) -> None:
        return None

    async def parts(self, base: Base) -> Parts:
        job, python = self._job, base.python
        if python is None:
            raise UsageError(f"--base {base.name}: it has no Python, which {job.project.name} needs")
        code = await self._source(python)
        deps = await dependencies(job.cache, base, python, job.project, job.options)
        told = f"{count(deps.packages, 'package')}, {count(len(deps.layers), 'layer')}" if deps.layers else "none"
        job.tell(Step("deps", told, all(b.cached for b in deps.layers)))
        runtime, runtime_cached = await runtime_layer(job.cache, python, base.platform, job.options.check_timeout)
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

    async def _source(self, python: Interpreter) -> SourceLayer:
        job = self._job
        code = await source_layer(job.cache, python, job.source, job.project.handler, job.options.check_timeout)
        job.tell(Step("source", f"{count(len(job.source.files), 'file')}, {size(job.source.size)}, handler {code.handler}", code.cached))
        return code
