"""A container's log: lines, rotation, reading."""

from pathlib import Path

import pytest

from embedded.node.errors import NoLog
from embedded.node.logfile import LONGEST_LINE, LogFile, set_aside
from embedded.node.logread import Wanted, read


def writer(path: Path, max_bytes: int = 1 << 20, files: int = 2) -> LogFile:
    return LogFile(path, max_bytes=max_bytes, files=files)


async def text(path: Path, **wanted: object) -> str:
    return b"".join([block async for block in read(path, Wanted(**wanted), lambda: None)]).decode()  # type: ignore[arg-type]


async def test_lines_come_back_as_they_were_written_in_pieces(tmp_path: Path) -> None:
    log = writer(tmp_path / "c.log")
    for piece in (b"one\ntw", b"o\n", b"\n", b"last without end"):
        log.feed(piece)
    log.close()
    assert await text(tmp_path / "c.log") == "one\ntwo\n\nlast without end\n"
    assert await text(tmp_path / "c.log", tail=2) == "\nlast without end\n"
    assert await text(tmp_path / "c.log", tail=0) == ""


async def test_time_stamps_on_demand(tmp_path: Path) -> None:
    log = writer(tmp_path / "c.log")
    log.feed(b"x\n")
    stamp, _, rest = (await text(tmp_path / "c.log", timestamps=True)).partition(" ")
    log.close()
    assert rest == "x\n" and stamp.startswith("20") and stamp.endswith("Z")
    assert await text(tmp_path / "c.log", since=3600) == "x\n"
    assert await text(tmp_path / "c.log", since=-3600) == ""


async def test_a_very_long_line_comes_back_whole(tmp_path: Path) -> None:
    log = writer(tmp_path / "c.log")
    line = "x" * (LONGEST_LINE * 2 + 5)
    log.feed(line.encode() + b"\nshort\n")
    log.feed(line.encode())
    log.close()
    assert await text(tmp_path / "c.log") == f"{line}\nshort\n{line}\n"


async def test_rotation_keeps_so_many_files_in_order(tmp_path: Path) -> None:
    log = writer(tmp_path / "c.log", max_bytes=200)
    for number in range(30):
        log.feed(f"line {number}\n".encode())
    log.close()
    kept = [int(line.split()[1]) for line in (await text(tmp_path / "c.log")).splitlines()]
    assert kept == list(range(kept[0], 30)) and 5 <= len(kept) < 30
    assert len(list(tmp_path.iterdir())) <= 2


async def test_at_a_restart_the_log_becomes_the_previous_one(tmp_path: Path) -> None:
    for run in ("first", "second", "third"):
        set_aside(tmp_path / "c.log", 2)
        log = writer(tmp_path / "c.log")
        log.feed(f"{run}\n".encode())
        log.close()
    assert await text(tmp_path / "c.log") == "third\n"
    assert await text(tmp_path / "c.previous.log") == "second\n"


async def test_a_log_that_never_was_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoLog):
        await text(tmp_path / "c.log")


def test_the_tail_for_the_termination_message_is_bounded(tmp_path: Path) -> None:
    log = writer(tmp_path / "c.log")
    for number in range(1000):
        log.feed(f"line {number}\n".encode())
    log.close()
    assert log.tail().endswith("line 999") and len(log.tail()) <= 2048


def test_a_disk_that_cannot_be_written_loses_lines_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    log = writer(tmp_path / "file" / "c.log")
    log.feed(b"a\n")
    log.feed(b"b\n")
    log.close()
    assert log.tail() == "a\nb"
    assert len([r for r in caplog.records if "log lines are lost" in r.message]) == 1


async def test_a_torn_line_of_a_crash_is_left_out(tmp_path: Path) -> None:
    log = writer(tmp_path / "c.log")
    log.feed(b"one\n")
    log.close()
    with (tmp_path / "c.log").open("ab") as file:
        file.write(b"2026-01-01T00:00\n\n2026-01-01T00:00:00Z F two\n2026-01-01T00:00:00Z")
    assert await text(tmp_path / "c.log") == "one\ntwo\n"
