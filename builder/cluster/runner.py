"""What runs in a Job: `python -m builder.cluster.runner`. Source in, image in its registry, result told; no API server is ever asked.

It reads its request from $KFN_BUILD and secrets from files, works in $TMPDIR, and ends with the exit codes of `kfn build`.
"""

import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import anyio
import anyio.abc

from builder import platform
from builder.app import build
from builder.cluster import confine, fetch, reached, trust, wire
from builder.cluster.manifest import SECRETS
from builder.cluster.told import Told
from builder.errors import BuildError, TransientError, UsageError
from builder.options import BuildOptions, BuildResult
from builder.supply.provenance import CLUSTER
from kfn import groups
from kfn.api.build import BuildSpec

CANCELLED, TIMED_OUT, INTERNAL = 130, 124, 1


def main() -> int:
    """Returns the exit code."""
    os.umask(0o022)
    told = Told()
    try:
        confine.check()
        request = wire.read_request(os.environ.get(wire.REQUEST, ""))
        confine.limit(request.spec.timeout_seconds)
    except (BuildError, ValueError) as error:
        return _end(told, wire.FAILED, getattr(error, "exit_code", UsageError.exit_code), type(error).__name__, str(error))
    os.environ.pop(wire.REQUEST)  # children have no use for it
    with tempfile.TemporaryDirectory(prefix="kfn-trust-") as folder:
        try:
            use_secrets(secrets(), Path(folder))
        except BuildError as error:
            return _end(told, wire.FAILED, error.exit_code, type(error).__name__, str(error))
        return anyio.run(run, request, told)


async def run(request: wire.Request, told: Told) -> int:
    """Build until done, cancelled by SIGTERM, or out of time. What it started is ended with it."""
    cancelled = False
    code = INTERNAL
    async with anyio.create_task_group() as tasks:

        async def stop_at_signal(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            nonlocal cancelled
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                task_status.started()
                async for _ in signals:
                    cancelled = True
                    working.cancel()

        with anyio.CancelScope() as working:
            await tasks.start(stop_at_signal)
            with anyio.move_on_after(request.spec.timeout_seconds) as time:
                code = await _work(request, told)
            if time.cancelled_caught:
                said = f"the build did not end in {request.spec.timeout_seconds} s; raise spec.timeoutSeconds"
                code = _end(told, wire.TIMEOUT, TIMED_OUT, "Timeout", said)
        if cancelled and working.cancelled_caught:
            code = _end(told, wire.CANCELLED, CANCELLED, "Cancelled", "it was asked to stop (SIGTERM)")
        tasks.cancel_scope.cancel()
    return code


async def _work(request: wire.Request, told: Told) -> int:
    try:
        if request.sweep:
            await fetch.sweep(request.spec.source.artifact)
            return _end(told, wire.SWEPT, 0, "", "the source artifact is gone")
        with tempfile.TemporaryDirectory(prefix="kfn-source-") as scratch:
            source = await fetch.source(request.spec, Path(scratch), secrets(), told.line)
            result = await build(source, options(request), told.step)
        return _succeeded(told, request.spec, result)
    except Exception as error:
        cause = groups.first(error)
        if isinstance(cause, BuildError):
            more = reached.advice(cause)
            if isinstance(cause, TransientError):
                more = await reached.why(str(cause), request.spec.image.repository.partition("/")[0])
            return _end(told, wire.FAILED, cause.exit_code, type(cause).__name__, f"{cause}\n{more}".strip())
        traceback.print_exception(error)  # a bug, or a machine that fails: in the log whole, in the result in short
        return _end(told, wire.FAILED, INTERNAL, "InternalError", f"{type(cause).__name__}: {cause}")


def options(request: wire.Request) -> BuildOptions:
    """The same that the command line makes of its flags, so that both give the same digest."""
    spec, wanted = request.spec, request.spec.options
    own = spec.image.repository if request.own_cache and not wanted.registry_cache else ""
    tags = tuple(f"{spec.image.repository}:{tag}" for tag in spec.image.tags)
    return BuildOptions(
        store=None,
        name=spec.name,
        namespace=request.namespace,
        tags=tags or (spec.image.repository,),
        push=True,
        platforms=platform.parse_all(tuple(spec.platforms)),
        base=spec.base,
        compression=wanted.compression or "gzip",
        registry_cache=wanted.registry_cache or own,
        registry_cache_write=bool(own),
        locked=wanted.locked,
        strict=wanted.strict,
        no_cache=wanted.no_cache,
        allow_sdists=wanted.allow_sdists,
        allow_secret_files=tuple(wanted.allow_secret_files),
        extras=tuple(wanted.extras),
        builder_id=CLUSTER,
        foreign=spec.source.git is not None,
        profile=False,  # it imports the handler, and a build that runs no foreign code keeps the push secret to itself
    )


def secrets() -> Path:
    """The folder that has one folder for each mounted secret."""
    return Path(os.environ.get(wire.SECRETS) or SECRETS)


def use_secrets(folder: Path, scratch: Path) -> None:
    """Tell the registry client, uv and whatever else asks over TLS where the mounted secrets are. A password is in a file or in this
    process's memory, never in its arguments."""
    found = [path for name in ("push", "pull") if (path := folder / name / ".dockerconfigjson").is_file()]
    if found:
        os.environ[fetch.AUTH_FILES] = os.pathsep.join(map(str, found))
    os.environ.update(trust.bundle(trust.authorities(folder, os.environ), scratch, os.environ) | trust.index(folder))
    os.environ.pop(wire.CA, None)


def _succeeded(told: Told, spec: BuildSpec, result: BuildResult) -> int:
    end = wire.Result(
        wire.OK,
        image=f"{spec.image.repository}@{result.digest}",
        digest=result.digest,
        commit=result.origin.commit,
        cache_hits=told.hits,
        phases=tuple(told.phases),
        warnings=result.warnings,
    )
    told.end(end)
    return 0


def _end(told: Told, result: str, code: int, reason: str, message: str) -> int:
    told.end(wire.Result(result, code, reason, message, cache_hits=told.hits, phases=tuple(told.phases)))
    return code


if __name__ == "__main__":
    sys.exit(main())
