"""Run a program to its end: no shell, its own process group, a bound on its time. A cancelled build leaves no child behind."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio

from builder.errors import BuildError, ToolMissing, TransientError

MOST = 256_000_000  # bytes that are held of a program's output, far above what any of them says


class TookTooLong(TransientError):
    """A program did not end in time."""


class SaidTooMuch(BuildError):
    """A program wrote more than anybody would read."""


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is negative if a signal ended it."""

    code: int
    stdout: bytes
    stderr: bytes


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    into: BinaryIO | None = None,
    most: int = MOST,
) -> Ended:
    """`timeout` in seconds. Output is collected, at most `most` bytes of it, unless it goes `into` a file."""
    try:
        process = await anyio.open_process(
            list(argv), cwd=cwd, env=env, start_new_session=True, stdout=subprocess.PIPE if into is None else into
        )
    except FileNotFoundError:
        raise ToolMissing(f"{argv[0]} was not found") from None
    out, err = bytearray(), bytearray()
    assert process.stdin and process.stderr
    try:
        with anyio.fail_after(timeout):
            async with anyio.create_task_group() as tasks:
                if process.stdout:
                    tasks.start_soon(_collect, process.stdout, out, most)
                tasks.start_soon(_collect, process.stderr, err, most)
                try:
                    await process.stdin.send(stdin)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass  # it ended before it read all; its exit code tells
                await process.stdin.aclose()
                await process.wait()
    except ExceptionGroup as group:
        raise group.exceptions[0] from group  # callers know single errors
    except TimeoutError:
        raise TookTooLong(f"{os.path.basename(argv[0])} was stopped after {timeout:g} s") from None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # also what it started itself
        except (ProcessLookupError, PermissionError):
            pass
        with anyio.CancelScope(shield=True):
            await process.aclose()
    return Ended(process.returncode or 0, bytes(out), bytes(err))


async def _collect(stream: anyio.abc.ByteReceiveStream, into: bytearray, most: int) -> None:
    async for chunk in stream:
        into += chunk
        if len(into) > most:
            raise SaidTooMuch(f"more than {most // 1_000_000} MB")
