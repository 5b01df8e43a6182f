"""What kfn verify-bus does to processes and reads from sinks, against real processes and sockets."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.verifybus import processes, sink
from cli.verifybus.sink import File
from cli.verifybus.verdict import Id
from tests.e2e.harness import KFN, run

CONNECTED = """
import socket, sys
door = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(door.getsockname())
far, _ = door.accept()
pair = socket.socketpair()
print("connected", flush=True)
print("end" if near.recv(1) == b"" else "data", flush=True)
again = socket.create_connection(door.getsockname())
door.accept()
pair[0].send(b"x")
print("still listening", pair[1].recv(1).decode(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def connected() -> Iterator[subprocess.Popen[str]]:
    """A process with a TCP connection to itself, of which it reads one end."""
    with subprocess.Popen([sys.executable, "-c", CONNECTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert _line(process) == "connected"
            yield process
        finally:
            process.kill()


class TestACut:
    def test_ends_every_connection_and_leaves_listening_sockets_and_pipes(self, connected: subprocess.Popen[str]) -> None:
        try:
            assert processes.cut(connected.pid) == 2
        except processes.CannotCut as error:
            pytest.skip(str(error))
        assert _line(connected) == "end"
        assert _line(connected) == "still listening x"

    def test_of_a_process_that_is_gone_says_so(self, connected: subprocess.Popen[str]) -> None:
        connected.kill()
        connected.wait()
        with pytest.raises(ProcessLookupError):
            processes.cut(connected.pid)


def test_who_lives_below_a_process_is_found_at_any_depth() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); import sys; sys.stdin.read()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert _line(process) == "1"
        below = processes.below(os.getpid())
        assert process.pid in below
        (grandchild,) = processes.below(process.pid)
        assert grandchild in below
        assert processes.is_alive(grandchild)
        process.communicate("")
    assert not processes.is_alive(grandchild)


class TestWhatInstancesAppended:
    def test_is_read_on_from_where_it_was_and_a_line_only_when_it_is_whole(self, tmp_path: Path) -> None:
        file = File(tmp_path / "seen")
        assert file.read() == Counter()
        with file.path.open("a") as out:
            out.write("w0-1 11\nw0-1 12\nw1-")
            out.flush()
            assert file.read() == {Id(0, 1): 2}
            out.write("5 11\n")
        assert file.read() == {Id(0, 1): 2, Id(1, 5): 1}
        assert list(file.pids) == [12, 11], "the one that wrote last is at the end"


async def test_the_sink_fails_for_marked_events_only_and_counts_the_others() -> None:
    async with sink.listening() as here, httpx.AsyncClient(trust_env=False) as http:

        async def post(path: str, id: str, **headers: str) -> int:
            return (await http.post(here.url(path), headers={"ce-id": id, **headers}, content=b"{}")).status_code

        assert await post(sink.FAILS, "w0-9", **{f"ce-{sink.MARK}": "yes"}) == 500
        assert await post(sink.FAILS, "w0-8") == 204
        assert await post(sink.FAILS, "w0-8") == 204
        assert await post(sink.DEAD, "w0-9", **{f"ce-{sink.MARK}": "yes"}) == 204
        assert await post(sink.ANSWERS, "somebody else's") == 400
        assert here.seen == {sink.FAILS: {Id(0, 8): 2}, sink.DEAD: {Id(0, 9): 1}, sink.ANSWERS: {}, sink.ORDERED: {}}
        assert here.strangers == 1


async def test_a_fault_that_does_not_exist_is_refused_before_anything_starts() -> None:
    told = await run(*KFN, "verify-bus", "--faults", "kill-nats,stop-nat")
    assert told.code == 2
    assert "there is no 'stop-nat'" in told.err
    assert "stop-nats" in told.err


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
