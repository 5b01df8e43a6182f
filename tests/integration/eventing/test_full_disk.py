"""A disk that runs full while events come: refused, not lost; and taken again when there is room."""

import ctypes
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from embedded import nats as embedded_nats
from tests.fakes.sink import sink
from tests.integration.eventing import stage as staging

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    target = os.fsencode(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    if not hasattr(libc, "mount") or libc.mount(b"tmpfs", target, b"tmpfs", 0, b"size=24m") != 0:
        pytest.skip("mounting a small file system needs root on Linux")
    yield tmp_path / "disk"
    libc.umount2(target, 2)


async def test_events_are_refused_while_the_disk_is_full_and_every_accepted_one_arrives(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "nats_server", functools.partial(embedded_nats.nats_server, min_free=4 * MIB))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(14 * MIB))
    async with staging.stage(small_disk / "nats") as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        accepted = []
        for n in range(40):
            answer = await bus.publish(str(n), data=b'"' + b"x" * 900_000 + b'"')
            if answer.status != 202:
                break
            accepted.append(str(n))
        assert (answer.status, answer.header(b"retry-after")) == (503, b"1")
        assert b"disk" in answer.body or b"no space" in answer.body
        ballast.unlink()
        await bus.publish_surely("after")
        await staging.until(lambda: {*accepted, "after"} <= set(subscriber.ids), f"{len(accepted)} and one more arrive")
        assert shutil.disk_usage(small_disk).free > 0


async def test_a_start_on_a_full_disk_says_so(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(22 * MIB))
    with pytest.raises(embedded_nats.NatsError, match="the disk is full"):
        async with embedded_nats.nats_server(small_disk / "nats"):
            await anyio.sleep(0)
