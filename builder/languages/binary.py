"""A ready program: nothing is compiled. Its machine and what it needs to start are checked; with the files beside it it is one layer."""

from pathlib import Path

import anyio.to_thread

from builder.base.model import Base
from builder.cache import Cached, key
from builder.golang.buildinfo import components
from builder.language import Job, Parts
from builder.languages import programs
from builder.options import FORMAT, BuiltLayer, Step, count, size
from builder.platform import host

FUNC = "func"


class ReadyProgram:
    """One build of a program that is there already."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def base(self) -> str:
        return "static"

    async def check(self) -> None:
        for platform in self._job.options.platforms or (host(),):
            path = programs.path_in(self._job.source, self._wanted, platform)
            await anyio.to_thread.run_sync(programs.check, self._file(path), path, Base("", platform), None)

    async def parts(self, base: Base) -> Parts:
        job, path = self._job, programs.path_in(self._job.source, self._wanted, base.platform)
        has = await anyio.to_thread.run_sync(programs.names_in, job.cache, base)
        if has is not None:
            has |= {file.path.rpartition("/")[2] for file in job.source.files}
        await anyio.to_thread.run_sync(programs.check, self._file(path), path, base, has)
        made, cached = await anyio.to_thread.run_sync(self._layer, path, programs.others(self._wanted, base.platform, job.source))
        job.tell(Step("source", f"{path}, {size(made.layer.size)}", cached))
        return Parts(
            layers=(BuiltLayer(made.layer, count(made.facts["files"], "file"), cached),),
            entrypoint=(f"/{FUNC}/{path}",),
            handler=path,
            folder=f"/{FUNC}",
            labels={"dev.kfn.runtime": "binary", "dev.kfn.handler": path, "dev.kfn.invoke": job.project.invoke},
            annotations={"dev.kfn.handler": path},
            components=await anyio.to_thread.run_sync(components, self._file(path)),
        )

    @property
    def _wanted(self) -> str:
        project, source = self._job.project, self._job.source
        if programs.ARCH in project.binary:
            return str(Path(project.binary).absolute().relative_to(source.root))
        return source.files[0].path if project.binary else project.handler

    def _file(self, path: str) -> Path:
        return self._job.source.root / path

    def _layer(self, path: str, without: frozenset[str]) -> tuple[Cached, bool]:
        source, cache = self._job.source, self._job.cache
        files = [file for file in source.files if file.path not in without]
        name = key("binary", FORMAT, path, [(file.path, file.sha256, file.link, file.executable or file.path == path) for file in files])
        if found := cache.get(name):
            return found, True
        content = programs.members(source, files, FUNC, frozenset((path,)))
        return cache.add(name, "source", content, {"files": len(content)}), False
