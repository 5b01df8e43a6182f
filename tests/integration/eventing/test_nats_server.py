"""The nats-server child: comes up, keeps what was acknowledged over kill -9, and leaves no process behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import pytest

from embedded.nats import NatsError, NatsServer, nats_server
from eventing.connection import Connection
from kfn import process_death


async def connect(server: NatsServer) -> Connection:
    async def quiet(error: Exception) -> None: ...

    client = Connection()
    await client.connect(
        server.url, user=server.user, password=server.password, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet
    )
    return client


async def test_acknowledged_messages_survive_kill_9_of_the_server_and_clients_find_it_again(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        client = await connect(server)
        stream = client.jetstream()
        await stream.add_stream(name="S", subjects=["s.>"])
        for n in range(50):
            await stream.publish("s.x", b"%d" % n)
        before = server.pid
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(30):
            while server.restarts == 0 or not client.is_connected:
                await anyio.sleep(0.02)
        info = await stream.stream_info("S")
        assert info.state.messages == 50
        assert server.pid != before
        await client.end(3)
    assert not process_death.start_time(server.pid)


async def test_a_client_without_the_password_is_refused(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        assert (tmp_path / "nats.conf").stat().st_mode & 0o777 == 0o600

        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert b"Authorization Violation" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_the_server_ends_when_its_parent_is_killed_and_a_new_run_takes_its_store(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import anyio
        from pathlib import Path
        from embedded.nats import nats_server
        async def main():
            async with nats_server(Path({str(tmp_path)!r})) as server:
                print(server.pid, flush=True)
                await anyio.sleep(60)
        anyio.run(main)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert process_death.start_time(pid)
        parent.kill()
    with anyio.fail_after(30):
        while process_death.start_time(pid):
            await anyio.sleep(0.01)
    async with nats_server(tmp_path):
        pass


async def test_a_server_left_by_an_earlier_run_is_ended_first(tmp_path: Path) -> None:
    stale = subprocess.Popen(["sleep", "60"])
    note = f'{{"pid": {stale.pid}, "started": "{process_death.start_time(stale.pid)}"}}'
    (tmp_path / "nats.pid").write_text(note)
    async with nats_server(tmp_path):
        assert stale.wait(timeout=30) == -signal.SIGTERM


async def test_another_process_that_got_the_old_pid_is_left_alone(tmp_path: Path) -> None:
    innocent = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "nats.pid").write_text(f'{{"pid": {innocent.pid}, "started": "1"}}')
        async with nats_server(tmp_path):
            assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


async def test_a_full_disk_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(NatsError, match="disk is full"):
        async with nats_server(tmp_path, min_free=1 << 62):
            pass


async def test_a_store_that_cannot_be_opened_gives_the_servers_own_words(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("not a folder")
    with pytest.raises(NatsError, match=r"nats\.log"):
        async with nats_server(tmp_path):
            pass
