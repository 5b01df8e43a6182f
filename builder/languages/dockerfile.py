"""A Dockerfile, when it is asked for: buildah runs its steps, and what it makes is the whole image, with its own user and entrypoint.

Nothing of kfn goes into it, so it must keep the runtime contract by itself, and only containers can run it.
"""

from typing import Any

import anyio.to_thread

from builder.base.model import SCRATCH, Base
from builder.detect import CONTAINER_FILES
from builder.dockerfile import buildah, layout
from builder.dockerfile.layout import Found
from builder.errors import ProgramUnfit, SourceError, UsageError
from builder.image import ROOT
from builder.language import Job, Parts
from builder.options import Step, count
from builder.staging import stage

_KEPT = ("Env", "User", "Cmd", "StopSignal", "Volumes", "Labels")
_NOISE = "io.buildah."  # labels that say which buildah it was: the image would change with it


class ContainerFile:
    """One build of a Dockerfile."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def base(self) -> str:
        return SCRATCH

    async def check(self) -> None:
        job = self._job
        if job.options.store is not None and not job.options.leaves and not job.options.dry_run:
            raise UsageError(
                "an image of a Dockerfile needs a container, and the embedded platform runs functions as processes. Send it to a registry "
                "or an archive (--push -t IMAGE, -o oci:DIR) and run it on a cluster; or leave out --builder dockerfile"
            )
        if job.options.base or job.project.base:
            raise UsageError("--base and kfn.base have no meaning for a Dockerfile, whose FROM says what it stands on; leave them out")
        self._file()
        buildah.binary()

    async def parts(self, base: Base) -> Parts:
        job = self._job
        found = await self._built(base)
        config, user = found.config, str(found.config.get("User", ""))
        if (user in ROOT or user.partition(":")[0] in ROOT) and not job.project.allow_root:
            raise ProgramUnfit(
                f"{self._file()}: the image runs as root. End it with a line such as `USER 1000`, "
                "or set kfn.allowRoot: true in func.yaml if it has to"
            )
        if found.architecture != base.platform.architecture:
            raise ProgramUnfit(f"{self._file()}: the image is for {found.architecture}, {base.platform} was asked for; look at its FROM")
        entrypoint = tuple(config.get("Entrypoint") or ())
        if not entrypoint and not config.get("Cmd"):
            raise ProgramUnfit(f"{self._file()}: the image does not say what to run. End it with ENTRYPOINT or CMD")
        job.tell(Step("dockerfile", f"{count(len(found.layers), 'layer')} by buildah, which ran its steps", False))
        kept: dict[str, Any] = {name: config[name] for name in _KEPT if config.get(name)}
        kept["Labels"] = {name: value for name, value in (config.get("Labels") or {}).items() if not name.startswith(_NOISE)}
        return Parts(
            layers=found.layers,
            entrypoint=entrypoint,
            handler=self._file(),
            folder=str(config.get("WorkingDir") or "/"),
            labels={"dev.kfn.runtime": "dockerfile", "dev.kfn.invoke": job.project.invoke},
            warnings=(f"{self._file()}: its steps ran on this machine, which is foreign code",),
            config=kept,
        )

    async def _built(self, base: Base) -> Found:
        job = self._job
        with job.cache.folder() as scratch:
            context = scratch / "context"
            context.mkdir()
            await anyio.to_thread.run_sync(stage, job.source, context)
            await buildah.build(
                context,
                self._file(),
                scratch / "layout",
                base.platform,
                arguments=dict(job.project.build_envs),
                offline=job.options.offline,
                no_cache=job.options.no_cache,
                timeout=job.options.install_timeout,
            )
            return await anyio.to_thread.run_sync(layout.read, job.cache, scratch / "layout")

    def _file(self) -> str:
        found = next((name for name in CONTAINER_FILES if self._job.source.has(name)), None)
        if found is None:
            raise SourceError(f"{self._job.project.path} has no {' and no '.join(CONTAINER_FILES)}, which --builder dockerfile builds")
        return found
