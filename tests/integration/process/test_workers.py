"""`kfn gateway --workers N`: one gateway to its clients and its operator, whatever happens to one of its processes."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from tests.e2e.harness import descendants, is_alive
from tests.fakes.authority import Authority
from tests.fakes.routed import HttpClient
from tests.fakes.upstream import Reader, Received, Upstream, Writer, ok, upstream
from tests.integration.process.stage import HOST, Process, Stage, stage, until


@dataclass
class Load:
    """Clients that ask all the time, each for `per_connection` requests on one connection, then on a new one."""

    port: int
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    stopping: bool = False

    async def client(self, per_connection: int) -> None:
        while not self.stopping:
            try:
                client = await HttpClient.connect(self.port)
                try:
                    for _ in range(per_connection):
                        answer = await client.ask("GET", "/", HOST)
                        if answer.status != 200:
                            self.failed.append(f"{answer.status} {answer.text}")
                        self.answered += 1
                        if self.stopping or answer.headers.get("connection") == "close":
                            break
                finally:
                    await client.close()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed.append(repr(error))

    async def more(self, count: int) -> None:
        aim = self.answered + count
        await until(lambda: self.answered >= aim, what=f"{count} more answers; failed: {self.failed[-3:]}")


@asynccontextmanager
async def load(port: int, *, clients: int = 8, per_connection: int = 20) -> AsyncIterator[Load]:
    made = Load(port)
    async with anyio.create_task_group() as tasks:
        for _ in range(clients):
            tasks.start_soon(made.client, per_connection)
        try:
            yield made
        finally:
            made.stopping = True


@asynccontextmanager
async def two_workers(tmp_path: Path, *args: str, instance: Upstream | None = None) -> AsyncIterator[tuple[Stage, Process]]:
    async with upstream() as plain, stage(tmp_path) as s:
        await s.instance((instance or plain).port)
        async with s.gateway("--workers", "2", *args) as gateway:
            yield s, gateway


def workers(gateway: Process) -> list[int]:
    return sorted(pid for pid in descendants(gateway.pid) if b"gateway.fleet.worker" in _command(pid))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended between the two looks
        return b""


class TestAsOne:
    async def test_requests_are_spread_and_the_pages_show_the_sum(self, tmp_path: Path) -> None:
        async with two_workers(tmp_path) as (s, gateway):
            assert len(workers(gateway)) == 2
            for _ in range(60):
                assert await gateway.get() == (200, "hello")
            assert await gateway.number("kfn_gateway_requests_total", code="200") == 60
            assert await gateway.number("kfn_gateway_request_seconds_count") == 60
            assert await gateway.number("kfn_gateway_instances") == 1, "both see the same one"
            assert await gateway.number("kfn_gateway_workers", state="ready") == 2
            assert (await gateway.ask("/readyz")).status_code == 200
            await until(lambda: s.heard.requests == 60)
            assert len(s.heard.load) == 2, "each reports for itself"

    async def test_cold_starts_of_all_workers_are_one_list(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s, upstream() as instance, s.gateway("--workers", "2") as gateway:
            asking = [asyncio.create_task(gateway.get()) for _ in range(20)]
            await until(lambda: sum(dict(s.heard.pokes).values()) == 20)
            await s.instance(instance.port)
            assert await asyncio.gather(*asking) == [(200, "hello")] * 20
            (found,) = (await gateway.ask("/cold-starts")).json().values()
            assert len(found) == 20
            assert [one["at"] for one in found] == sorted(one["at"] for one in found)
            assert (await gateway.ask("/cold-starts?revision=nonsense")).status_code == 400
            assert (await gateway.ask("/drained?namespace=default&pod=none")).status_code == 200

    async def test_a_limit_holds_over_both(self, tmp_path: Path) -> None:
        async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await asyncio.sleep(0.02)
            return ok()

        async with stage(tmp_path, containerConcurrency=1) as s, upstream(slow) as instance, s.gateway("--workers", "2") as gateway:
            await s.instance(instance.port)
            answers = await asyncio.gather(*(gateway.get() for _ in range(40)))
            assert answers == [(200, "hello")] * 40
            assert instance.concurrent == 1

    async def test_https_is_shared_like_the_plain_port(self, tmp_path: Path) -> None:
        authority = Authority()
        cert, key = authority.issue(HOST).write(tmp_path / "tls")
        async with two_workers(tmp_path, "--tls-port", "0", "--tls-cert", cert, "--tls-key", key) as (_, gateway):
            assert gateway.https
            for _ in range(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.https, ssl=authority.trusting(), server_hostname=HOST)
                assert (await HttpClient(reader, writer).ask("GET")).status == 200
                writer.close()
            assert await gateway.number("kfn_gateway_requests_total", code="200") == 10


class TestOneDies:
    async def test_kill_of_one_costs_only_its_own_requests_and_another_takes_its_place(self, tmp_path: Path) -> None:
        async with two_workers(tmp_path) as (_, gateway):
            before = workers(gateway)
            async with load(gateway.port) as clients:
                await clients.more(200)
                counted = await gateway.number("kfn_gateway_requests_total", code="200")
                os.kill(before[0], signal.SIGKILL)
                await until(lambda: len(workers(gateway)) == 2 and before[0] not in workers(gateway))
                await clients.more(200)
                assert len(clients.failed) <= 8, "at most the request of each client that it had"
                assert await gateway.number("kfn_gateway_requests_total", code="200") >= counted + 200
            assert before[1] in workers(gateway), "the other one is the same"
            assert await gateway.number("kfn_gateway_worker_restarts_total") == 1
            with anyio.fail_after(60):
                while (await gateway.ask("/readyz")).status_code != 200:
                    await anyio.sleep(0.05)

    async def test_no_connection_waits_for_the_dead_one(self, tmp_path: Path) -> None:
        """Its slot's queue is served by the neighbour, also while it is started again and again."""
        async with two_workers(tmp_path) as (_, gateway):
            victim = workers(gateway)[0]
            os.kill(victim, signal.SIGKILL)
            with anyio.fail_after(30):  # one whose connection was kept for the dead one would get no answer
                for _ in range(40):
                    assert await gateway.get() == (200, "hello")

    async def test_kill_of_the_supervisor_leaves_nothing(self, tmp_path: Path) -> None:
        async with two_workers(tmp_path) as (_, gateway):
            both = workers(gateway)
            gateway.process.kill()
            await gateway.ended()
            await until(lambda: not any(map(is_alive, both)), 10, "workers outlived their supervisor")


class TestReplaced:
    async def test_every_worker_is_replaced_under_load_without_one_error(self, tmp_path: Path) -> None:
        async with two_workers(tmp_path) as (_, gateway):
            async with load(gateway.port, clients=12) as clients:
                for _ in range(2):
                    before = workers(gateway)
                    await clients.more(100)
                    gateway.signal(signal.SIGHUP)
                    await until(lambda: len(workers(gateway)) == 2 and not {*before} & {*workers(gateway)}, what="not replaced")  # noqa: B023
                await clients.more(100)
                answered = clients.answered
            assert clients.failed == []
            assert await gateway.number("kfn_gateway_requests_total", code="200") >= answered, "what the replaced ones counted is kept"
            assert await gateway.number("kfn_gateway_worker_restarts_total") == 0

    async def test_new_connections_meet_no_reset_while_workers_are_replaced(self, tmp_path: Path) -> None:
        async with two_workers(tmp_path) as (_, gateway):
            async with load(gateway.port, clients=12, per_connection=1) as clients:
                before = workers(gateway)
                await clients.more(50)
                gateway.signal(signal.SIGHUP)
                await until(lambda: len(workers(gateway)) == 2 and not {*before} & {*workers(gateway)}, what="not replaced")
                await clients.more(50)
            assert clients.failed == []

    async def test_one_that_dies_while_its_predecessor_still_finishes_is_started_again(self, tmp_path: Path) -> None:
        go = asyncio.Event()

        async def wait(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await go.wait()
            return ok()

        async with upstream(wait) as instance, two_workers(tmp_path, instance=instance) as (_, gateway):
            before = workers(gateway)
            asking = [asyncio.create_task(gateway.get()) for _ in range(20)]
            await until(lambda: len(instance.received) == 20)
            gateway.signal(signal.SIGHUP)
            await _workers(gateway, ready=2, leaving=2)
            replaced = {*workers(gateway)} - {*before}
            os.kill(min(replaced), signal.SIGKILL)
            await until(lambda: len({*workers(gateway)} - {*before} - replaced) == 1, what="it was not started again")
            await _workers(gateway, ready=2, leaving=2)
            go.set()
            assert await asyncio.gather(*asking) == [(200, "hello")] * 20
            await _workers(gateway, ready=2, leaving=0)


class TestStopping:
    async def test_sigterm_drains_every_worker(self, tmp_path: Path) -> None:
        go = asyncio.Event()

        async def wait(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await go.wait()
            return ok()

        async with upstream(wait) as instance, two_workers(tmp_path, instance=instance) as (s, gateway):
            asking = [asyncio.create_task(gateway.get()) for _ in range(10)]
            await until(lambda: len(instance.received) == 10)
            gateway.signal()
            with anyio.fail_after(30):
                while (await gateway.ask("/readyz")).status_code != 503:
                    await anyio.sleep(0.02)
            await until(lambda: _refused(gateway.port))
            go.set()
            assert await asyncio.gather(*asking) == [(200, "hello")] * 10
            assert await gateway.ended() == 0
            await until(lambda: len(s.heard.gone_gateways) == 2)

    async def test_a_second_signal_ends_all_at_once(self, tmp_path: Path) -> None:
        async def never(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await asyncio.Event().wait()
            return None

        async with upstream(never) as instance, two_workers(tmp_path, instance=instance) as (_, gateway):
            asking = asyncio.create_task(gateway.get())
            await until(lambda: instance.received)
            both = workers(gateway)
            gateway.signal()
            await until(lambda: _refused(gateway.port))
            gateway.signal()
            assert await gateway.ended() == 130
            await until(lambda: not any(map(is_alive, both)), 10)
            await asyncio.wait([asking])
            assert asking.exception() is not None

    async def test_ctrl_c_reaches_the_workers_once(self, tmp_path: Path) -> None:
        """A terminal sends SIGINT to the whole process group; workers are in one of their own."""
        async with two_workers(tmp_path) as (_, gateway):
            assert all(os.getpgid(pid) != os.getpgid(gateway.pid) for pid in workers(gateway))
            gateway.signal(signal.SIGINT)
            assert await gateway.ended() == 0


class TestRefused:
    async def test_a_second_supervisor_does_not_share_the_port_in_silence(self, tmp_path: Path) -> None:
        async with two_workers(tmp_path) as (s, gateway):
            second = await s.start("--workers", "2", "--port", str(gateway.port))
            assert await second.ended() == 1
            assert f"cannot listen on 127.0.0.1:{gateway.port}: Address already in use" in second.text


async def _workers(gateway: Process, **states: int) -> None:
    with anyio.fail_after(60):
        while {state: await gateway.number("kfn_gateway_workers", state=state) for state in states} != states:
            await anyio.sleep(0.05)


def _refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0
