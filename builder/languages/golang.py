"""A Go function: compiled by the go command on this machine into one static program, which is the whole layer.

The source is compiled from a copy, so that what is compiled is what was hashed. Its other files are not in the image: embed them.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from builder.base.model import Base
from builder.cache import Cached, key
from builder.components import Component
from builder.errors import HandlerNotFound, ProjectInvalid
from builder.golang import buildinfo, module, scaffold, toolchain
from builder.language import Job, Parts
from builder.options import FORMAT, BuiltLayer, Step, size
from builder.sources.source import read_file
from builder.staging import stage
from builder.tar import Member

FUNC, PROGRAM = "func", "function"
SCAFFOLD = "1"  # of the generated program: raise it when its text changes


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to compile: the package's path in the module, and the generated main.go if the function needs one around it."""

    package: str
    main: str = ""


class GoFunction:
    """One build of a Go function."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._plan: _Plan | None = None

    def base(self) -> str:
        return "static"

    async def check(self) -> None:
        self._planned()
        toolchain.binary()

    async def parts(self, base: Base) -> Parts:
        job = self._job
        made, cached, told = await self._compiled(base.platform.architecture)
        job.tell(Step("source", f"{told}, {size(made.layer.size)}", cached))
        found = tuple(
            Component(one["purl"], one["name"], one["version"], sums=tuple(map(tuple, one["sums"]))) for one in made.facts["modules"]
        )
        package = self._planned().package
        return Parts(
            layers=(BuiltLayer(made.layer, PROGRAM, cached),),
            entrypoint=(f"/{FUNC}/{PROGRAM}",),
            handler=package,
            folder=f"/{FUNC}",
            labels={"dev.kfn.runtime": "binary", "dev.kfn.handler": package, "dev.kfn.invoke": job.project.invoke},
            annotations={"dev.kfn.handler": package},
            components=found,
        )

    async def _compiled(self, architecture: str) -> tuple[Cached, bool, str]:
        job, plan = self._job, self._planned()
        env = toolchain.environment(
            job.cache.path, offline=job.options.offline, workspace=job.source.has("go.work"), extra=dict(job.project.build_envs)
        )
        with job.cache.folder() as scratch:
            root = (scratch / "in").resolve()
            await anyio.to_thread.run_sync(self._stage_settings, root)
            settings = await toolchain.settings(root, env)
            name = key("go", FORMAT, SCAFFOLD, architecture, plan.package, plan.main, job.source.digest, settings, toolchain.LDFLAGS)
            told = f"{plan.package} by {settings['GOVERSION']}"
            async with job.cache.making(name, job.options.install_timeout):
                if found := job.cache.get(name):
                    return found, True, told
                package = await anyio.to_thread.run_sync(self._stage, root)
                target = scratch / PROGRAM
                await toolchain.compile_program(root, package, target, architecture, env, job.options.install_timeout)
                return await anyio.to_thread.run_sync(self._add, name, target), False, told

    def _add(self, name: str, target: Path) -> Cached:
        found = buildinfo.components(target)
        facts = [{"purl": one.purl, "name": one.name, "version": one.version, "sums": one.sums} for one in found]
        member = Member(f"{FUNC}/{PROGRAM}", source=target, executable=True)
        return self._job.cache.add(name, "source", [member], {"modules": facts})

    def _planned(self) -> _Plan:
        if self._plan is None:
            self._plan = self._plan_of()
        return self._plan

    def _plan_of(self) -> _Plan:
        source, wanted = self._job.source, self._job.project.handler
        if not source.has("go.mod"):
            raise ProjectInvalid("there is no go.mod; make it with `go mod init NAME` and `go mod tidy`")
        text = self._text("go.mod")
        path = module.module_path(text)
        module.check_locked(text, source.has("go.sum"), source.has("vendor/modules.txt"))
        folder = str(PurePosixPath(wanted)) if wanted else "."
        files = self._go_files(folder)
        package = module.root_package(files)
        if not files:
            mains = sorted(
                {str(PurePosixPath(f.path).parent) for f in source.files if f.path.startswith("cmd/") and f.path.endswith(".go")}
            )
            hint = f"; name one in kfn.handler, for example ./{mains[0]}" if mains else ""
            raise HandlerNotFound(f"there are no Go files in {folder if wanted else 'the folder itself'}{hint}")
        if package == "main":
            return _Plan("." if folder == "." else f"./{folder}")
        if wanted:
            raise HandlerNotFound(f"kfn.handler: {wanted} is package {package}, not main")
        return _Plan(".", scaffold.program(module.function(files, path)))

    def _go_files(self, folder: str) -> dict[str, str]:
        prefix = "" if folder == "." else f"{folder}/"
        names = [file.path for file in self._job.source.files if file.path.startswith(prefix) and not file.link]
        inside = [name for name in names if "/" not in name.removeprefix(prefix) and name.endswith(".go") and not name.endswith("_test.go")]
        return {name: self._text(name) for name in inside}

    def _text(self, name: str) -> str:
        source = self._job.source
        file = next(file for file in source.files if file.path == name)
        try:
            return read_file(source.root, file).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProjectInvalid(f"{name} is not UTF-8 text (byte {error.start})") from None

    def _stage_settings(self, root: Path) -> None:
        """go.mod and go.work alone: enough for go to say which toolchain it will use."""
        root.mkdir(parents=True)
        for name in ("go.mod", "go.work"):
            if self._job.source.has(name):
                (root / name).write_text(self._text(name), "utf-8")

    def _stage(self, root: Path) -> str:
        """The whole source, and the generated program in a folder that the source does not have; returns the package to compile."""
        plan = self._planned()
        stage(self._job.source, root)
        if not plan.main:
            return plan.package
        folder = next(name for name in scaffold.NAMES if not (root / name).exists())
        (root / folder).mkdir()
        (root / folder / "main.go").write_text(plan.main, "utf-8")
        return f"./{folder}"
