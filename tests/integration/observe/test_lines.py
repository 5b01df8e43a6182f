"""Lines written by a thread: to a file that is rotated, to a pipe that is stuck, to a disk that is full."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kfn.observe.lines import BATCH, Lines, LinesError


def _pause() -> None:
    """These tests are of threads; there is no event loop."""
    threading.Event().wait(0.002)


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        _pause()


def test_everything_is_in_the_file_after_close_in_order(tmp_path: Path) -> None:
    lines = Lines(str(tmp_path / "log"), pause=60)
    for i in range(1000):
        lines.write(b"%d\n" % i)
    assert lines.close().wait(20)
    assert (tmp_path / "log").read_bytes().split() == [b"%d" % i for i in range(1000)]


def test_much_is_written_before_its_time(tmp_path: Path) -> None:
    lines = Lines(str(tmp_path / "log"), pause=3600)
    lines.write(b"x" * BATCH + b"\n")
    _until(lambda: (tmp_path / "log").stat().st_size == BATCH + 1)
    assert lines.close().wait(20)


def test_it_appends_to_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    lines = Lines(str(tmp_path / "log"))
    lines.write(b"after\n")
    assert lines.close().wait(20)
    assert (tmp_path / "log").read_text() == "before\nafter\n"


def test_a_file_that_was_rotated_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = Lines(str(path), pause=0.01)
    lines.write(b"one\n")
    _until(lambda: path.read_text() == "one\n")
    path.rename(tmp_path / "log.1")
    lines.write(b"two\n")
    _until(lambda: path.exists() and path.read_text() == "two\n")
    assert (tmp_path / "log.1").read_text() == "one\n"
    assert lines.close().wait(20)


def test_a_stuck_reader_stops_nobody_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    room = fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    lines = Lines(str(pipe), pause=0.01, most=20_000)
    for _ in range(1000):
        lines.write(b"x" * 99 + b"\n")  # would take as long as the reader, if it waited
    assert lines.dropped >= 1000 - (room + 4096 + 20_000) // 100
    dropped = lines.dropped
    done = lines.close()
    assert not done.is_set()
    got = bytearray()
    while not done.is_set() or dropped == 1000:
        try:
            got += os.read(reader, 65536)
        except BlockingIOError:
            _pause()
    got += os.read(reader, 65536)
    os.close(reader)
    assert len(got) == (1000 - lines.dropped) * 100
    assert set(bytes(got).split()) == {b"x" * 99}


def test_lines_of_several_writers_on_one_pipe_stay_whole(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writers = [Lines(str(pipe), pause=60) for _ in range(3)]  # each has much to write at once, and the pipe is soon full
    for i in range(300):
        for number, lines in enumerate(writers):
            lines.write(b"%d" % number * (100 + i) + b"\n")
    events = [lines.close() for lines in writers]
    got = bytearray()
    while not all(event.is_set() for event in events):
        try:
            got += os.read(reader, 65536)
        except BlockingIOError:
            _pause()
    try:
        while more := os.read(reader, 65536):
            got += more
    except BlockingIOError:
        pass
    os.close(reader)
    found = bytes(got).split()
    assert len(found) == 900
    assert all(len(set(line)) == 1 for line in found)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_loses_lines_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines("/dev/full", pause=0.01)
    lines.write(b"lost\n")
    _until(lambda: lines.dropped == 1)
    assert lines.close().wait(20)
    assert "/dev/full" in caplog.text and "No space left" in caplog.text


@pytest.mark.parametrize("path", ["", "/nowhere/at/all/log", "/"])
def test_a_file_that_cannot_be_written_is_refused_at_once(path: str) -> None:
    threads = threading.active_count()
    with pytest.raises(LinesError, match="cannot write to"):
        Lines(path)
    assert threading.active_count() == threads


def test_a_pipe_without_a_reader_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LinesError):
        Lines(str(tmp_path / "pipe"))
