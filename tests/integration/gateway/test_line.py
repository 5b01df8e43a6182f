"""Requests that wait: order, limits, what they are told, and that nobody keeps a place that is not used."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup

from gateway.observe import metrics
from kfn.api.core import HTTPGetAction, Probe
from kfn.api.meta import Condition
from kfn.load import RevisionKey
from tests.fakes.routed import HOST, Cluster, HttpClient, Sink, routed
from tests.fakes.upstream import Reader, Received, Upstream, Writer, ok, upstream


def _limited(limit: int) -> Cluster:
    cluster = Cluster()
    cluster.route()
    cluster.revision(container_concurrency=limit)
    return cluster


async def test_two_hundred_at_once_to_zero_are_all_answered_while_a_scaler_adds_instances() -> None:
    async def work(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await anyio.sleep(0.02)
        return ok(request.line.encode())

    cluster, sink = _limited(10), Sink()
    instances: list[Upstream] = []
    over = anyio.Event()
    async with AsyncExitStack() as stack, routed(cluster, sink) as gw, anyio.create_task_group() as tasks:

        async def add() -> None:
            while len(instances) < 20 and not over.is_set():
                await anyio.sleep(0.005)
                instances.append(await stack.enter_async_context(upstream(work)))
                cluster.instance(instances[-1].port, ready=False)

        sink.on_poke = lambda key, waiting: tasks.start_soon(add) if not instances and len(sink.pokes) == 1 else None
        answers = await asyncio.gather(*(gw.get(f"/{n}") for n in range(200)))
        assert [a.status for a in answers] == [200] * 200
        assert [a.text for a in answers] == [f"GET /{n} HTTP/1.1" for n in range(200)]
        assert max(i.concurrent for i in instances) <= 10
        assert all("server-timing" in a.headers for a in answers[:10])
        assert len(sink.pokes) < 20, "the scaler is told of growth, not of every request"
        assert sink.pokes[0] == ("default/hello-00001", 1)
        assert gw.line().meter.concurrency == 0
        over.set()  # not cancelled: a server that is cancelled while it is made leaves its socket open


async def test_container_concurrency_is_never_exceeded_and_order_is_kept() -> None:
    async def work(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await anyio.sleep(0.003)
        return ok()

    async with upstream(work) as instance, routed(_limited(1)) as gw:
        gw.cluster.instance(instance.port)
        client = []
        for n in range(10):
            client.append(await gw.client())
            await client[-1].send(f"GET /{n} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await gw.until(lambda n=n: gw.line().meter.concurrency + len(instance.received) - instance.inside > n)  # type: ignore[misc]
        for one in client:
            assert (await one.answer()).status == 200
            await one.close()
        assert instance.concurrent == 1
        assert [r.line.split()[1] for r in instance.received] == [f"/{n}" for n in range(10)]


async def test_a_client_that_leaves_frees_its_place_in_the_line() -> None:
    async with routed(line=1) as gw:
        first = await gw.client()
        await first.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await gw.until(lambda: len(gw.line().waiting) == 1)
        full = await gw.get()
        assert (full.status, full.headers["retry-after"]) == (503, "1")
        assert full.text == "1 requests wait for revision default/hello-00001 already.\n"
        await first.close()
        await gw.until(lambda: not gw.line().waiting)
        assert gw.line().meter.concurrency == 0
        assert gw.line().meter.codes[0] == 1


async def test_a_client_that_leaves_frees_its_place_on_the_instance() -> None:
    left = asyncio.Event()

    async def hang(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        if request.line.startswith("GET /hang"):
            assert await reader.read() == b""  # the gateway hangs up
            left.set()
            return None
        return ok()

    async with upstream(hang) as instance, routed(_limited(1)) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(f"GET /hang HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await gw.until(lambda: bool(instance.received))
        waiting = asyncio.create_task(gw.get("/next"))
        await gw.until(lambda: len(gw.line().waiting) == 1)
        await client.close()
        assert (await waiting).status == 200
        with anyio.fail_after(30):
            await left.wait()


async def test_not_ready_in_time_is_504_and_says_what_was_missing() -> None:
    async with routed(wait=0.05, tick=0.01) as gw:
        answer = await gw.get(Accept="application/json")
        assert answer.status == 504
        assert answer.headers["content-type"] == "application/problem+json"
        assert b'"detail": "No instance of revision default/hello-00001 was ready in time: none has been started."' in answer.body


async def test_the_timeout_of_the_revision_bounds_the_wait() -> None:
    cluster = Cluster()
    cluster.route()
    cluster.revision(timeout_seconds=1)
    async with routed(cluster, tick=0.01) as gw:
        with anyio.fail_after(30):
            assert (await gw.get()).status == 504


async def test_a_failed_revision_is_refused_at_once_with_its_reason() -> None:
    cluster = Cluster()
    cluster.route()
    cluster.revision()
    async with routed(cluster) as gw:
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.sink.pokes))
        cluster.revision(
            conditions=[
                Condition(
                    type="ContainerHealthy", status="False", reason="ExitCode1", message="ModuleNotFoundError: No module named 'nmpy'"
                )
            ]
        )
        for answer in (await waiting, await gw.get()):
            assert answer.status == 503
            assert answer.text == "Revision default/hello-00001 cannot start: ExitCode1: ModuleNotFoundError: No module named 'nmpy'\n"


async def test_strangers_are_told_the_reason_of_a_failure_and_nothing_of_the_functions_log() -> None:
    cluster = Cluster()
    cluster.route()
    failed = Condition(type="ContainerHealthy", status="False", reason="ExitCode1", message="Container failed with: password is hunter2")
    cluster.revision(conditions=[failed])
    async with routed(cluster, tell=False) as gw:
        await gw.until(lambda: bool(gw.line().policy.failure))
        assert (await gw.get()).text == "Revision default/hello-00001 cannot start: ExitCode1\n"


async def test_a_dead_instance_among_live_ones_is_never_noticed() -> None:
    async with upstream() as live, routed() as gw:
        async with upstream() as dead:
            gw.cluster.instance(dead.port)
        gw.cluster.instance(live.port)
        await gw.until(lambda: len(gw.line().instances) == 2)
        answers = [await gw.get() for _ in range(10)]
        assert [a.status for a in answers] == [200] * 10


async def test_the_last_instance_is_tried_again_until_it_is_back() -> None:
    async with upstream() as first:
        port = first.port
    async with routed() as gw:
        gw.cluster.instance(port)
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.sink.pokes))
        async with upstream(port=port):
            assert (await waiting).status == 200


async def test_instances_that_stay_unreachable_are_502() -> None:
    async with upstream() as gone:
        port = gone.port
    async with routed(unreachable=0.05, tick=0.01) as gw:
        gw.cluster.instance(port)
        answer = await gw.get()
        assert answer.status == 502
        assert "accepts connections" in answer.text


async def test_a_terminating_instance_gets_nothing_new() -> None:
    async with upstream() as old, upstream() as new, routed() as gw:
        gw.cluster.instance(old.port)
        assert (await gw.get()).status == 200
        gw.cluster.instance(old.port, terminating=True)
        gw.cluster.instance(new.port)
        await gw.until(lambda: [i.address.port for i in gw.line().usable] == [new.port])
        for _ in range(5):
            await gw.get()
        assert (len(old.received), len(new.received)) == (1, 5)


async def test_an_instance_with_an_http_probe_is_used_when_that_succeeds() -> None:
    ready = False

    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(status="200 OK" if ready or "probe" not in request.headers.get("user-agent", "") else "503 Not Yet")

    cluster = Cluster()
    cluster.route()
    cluster.revision(probe=Probe(http_get=HTTPGetAction(path="/ready")))
    async with upstream(answer) as instance, routed(cluster) as gw:
        waiting = asyncio.create_task(gw.get())
        cluster.instance(instance.port, ready=False)
        await gw.until(lambda: len(instance.received) > 2)
        assert not waiting.done()
        ready = True
        assert (await waiting).status == 200
        assert {r.line for r in instance.received[:-1]} == {"GET /ready HTTP/1.1"}


async def test_a_cold_start_is_explained_and_kept() -> None:
    async def started(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(extra="Kfn-Start: spawned=1, started=2, imported=3, ready=4\r\n")

    async with upstream(started) as instance, routed() as gw:
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.sink.pokes))
        gw.cluster.instance(instance.port)
        cold, warm = await waiting, await gw.get()
        assert "kfn-start" not in cold.headers
        names = [part.split(";")[0] for part in cold.headers["server-timing"].split(", ")]
        assert names == ["queue", "scale", "start", "import", "ready", "handler", "total"]
        assert "server-timing" not in warm.headers
        kept = gw.gateway.cold_starts(RevisionKey("default", "hello-00001"))
        assert [(k.status, k.pod) for k in kept] == [(200, f"hello-00001-pod-{instance.port}")]
        assert kept[0].total == pytest.approx(sum(kept[0].phases.values()), abs=0.01)


async def test_load_is_reported_with_waiting_requests_and_ends_with_zero() -> None:
    async with upstream() as instance, routed(report=0.05) as gw:
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: any(s.waiting and s.concurrency > 0.9 for s in gw.sink.samples))
        gw.cluster.instance(instance.port)
        await waiting
        await gw.until(lambda: bool(gw.sink.samples) and gw.sink.samples[-1].concurrency == 0)
        count = len(gw.sink.samples)
        assert sum(s.requests for s in gw.sink.samples) == 1
        await anyio.sleep(0.2)
        assert len(gw.sink.samples) == count, "an idle revision is reported once"


async def test_the_body_of_a_waiting_request_is_read_ahead_only_so_far() -> None:
    async with upstream() as instance, routed(waiting_body=10_000) as gw:
        client: HttpClient = await gw.client()
        body = b"x" * 5_000_000
        asking = asyncio.create_task(client.ask("POST", body=body))
        await gw.until(lambda: gw.gateway.chain is not None and gw.gateway.chain.shared.held > 10_000)
        await anyio.sleep(0.05)
        assert gw.gateway.chain is not None
        assert gw.gateway.chain.shared.held < 1_000_000
        gw.cluster.instance(instance.port)
        assert (await asking).status == 200
        assert len(instance.received[0].body) == len(body)
        assert gw.gateway.chain.shared.held == 0
        await client.close()


async def test_waiting_bodies_may_not_fill_the_memory() -> None:
    async with routed(waiting_memory=1000) as gw:
        client = await gw.client()
        answer = await client.ask("POST", body=b"x" * 2000)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert gw.gateway.chain is not None
        assert gw.gateway.chain.shared.held == 0
        await client.close()


@pytest.mark.parametrize("others", [1, 4])
async def test_an_instance_that_hangs_gets_no_more_while_others_are_less_loaded(others: int) -> None:
    """As a process that was stopped does: it takes connections and says nothing."""
    free = asyncio.Event()

    async def hang(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await free.wait()
        return ok(b"late")

    async with AsyncExitStack() as stack, routed() as gw:
        stuck = await stack.enter_async_context(upstream(hang))
        gw.cluster.instance(stuck.port)
        first = await gw.client()
        await first.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await gw.until(lambda: len(stuck.received) == 1)
        for _ in range(others):
            gw.cluster.instance((await stack.enter_async_context(upstream(answer_at_once))).port)
        await gw.until(lambda: len(gw.line().usable) == others + 1)
        assert [(await gw.get()).status for _ in range(40)] == [200] * 40
        assert len(stuck.received) == 1
        free.set()
        assert (await first.answer()).status == 200
        await first.close()


async def test_the_only_instance_is_used_even_if_it_hangs() -> None:
    free = asyncio.Event()

    async def hang(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        await free.wait()
        return ok()

    async with upstream(hang) as stuck, routed() as gw:
        gw.cluster.instance(stuck.port)
        clients = [await gw.client() for _ in range(3)]
        for client in clients:
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await gw.until(lambda: len(stuck.received) == 3)
        free.set()
        for client in clients:
            assert (await client.answer()).status == 200
            await client.close()


async def answer_at_once(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    return ok()


class TestEventsAndRequestsInOneLine:
    async def test_a_backlog_of_events_stands_before_no_request_and_yet_goes_on(self) -> None:
        order: list[str] = []

        async def work(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            order.append(request.line.split()[1])
            await anyio.sleep(0.002)
            return ok()

        async with upstream(work) as instance, routed(_limited(1), local_port=0) as gw, _clients() as clients, _tasks() as tasks:
            gw.cluster.instance(instance.port)
            inside = [await clients(gw.gateway.local_port) for _ in range(64)]

            async def deliver(client: HttpClient) -> None:
                while True:
                    await client.ask("POST", "/event", User_Agent="kfn-eventing")

            for one in inside:
                tasks.start_soon(deliver, one)
            await gw.until(lambda: gw.line().waiting.count("event") >= 60)
            person = await clients(gw.gateway.port)
            passed = []
            for n in range(30):
                before = len(order)
                assert (await person.ask("GET", f"/{n}")).status == 200
                passed.append(order.index(f"/{n}") - before)
            assert max(passed) <= 3, f"events that went before each request: {passed}"
            assert order.count("/event") >= 25, "events go on meanwhile"
            crowd = [await clients(gw.gateway.port) for _ in range(30)]
            begin = len(order)

            async def ask(client: HttpClient) -> None:
                while True:
                    await client.ask("GET", "/crowd")

            for one in crowd:
                tasks.start_soon(ask, one)
            await gw.until(lambda: order.count("/crowd") >= 200)
            share = order[begin:].count("/event") / (len(order) - begin)
            assert 0.1 < share < 0.35, "a fifth of the places is for events while both wait"
            shown = "".join([piece async for piece in metrics.page(gw.gateway)])
            assert 'class="event"' in shown and 'class="http"' in shown

    async def test_from_outside_nobody_gets_turns_of_its_own(self) -> None:
        async with routed(_limited(1), local_port=0) as gw:
            client = await gw.client()
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: kfn-eventing\r\n\r\n".encode())
            await gw.until(lambda: len(gw.line().waiting) == 1)
            assert gw.line().waiting.count("event") == 0
            await client.close()
            await gw.until(lambda: not gw.line().waiting)

    async def test_each_class_has_a_bound_of_its_own(self) -> None:
        async with routed(_limited(1), local_port=0, line=1) as gw:
            event = await HttpClient.connect(gw.gateway.local_port)
            await event.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: kfn-eventing\r\nContent-Length: 0\r\n\r\n".encode())
            await gw.until(lambda: gw.line().waiting.count("event") == 1)
            person = await gw.client()
            await person.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await gw.until(lambda: len(gw.line().waiting) == 2)
            assert (await gw.get()).status == 503
            await event.close()
            await person.close()
            await gw.until(lambda: not gw.line().waiting)


@asynccontextmanager
async def _clients() -> AsyncIterator[Callable[[int], Awaitable[HttpClient]]]:
    """Closed at the end, in whatever state."""
    made: list[HttpClient] = []

    async def connect(port: int) -> HttpClient:
        made.append(await HttpClient.connect(port))
        return made[-1]

    try:
        yield connect
    finally:
        for one in made:
            await one.close()


@asynccontextmanager
async def _tasks() -> AsyncIterator[TaskGroup]:
    """Over at the end."""
    async with anyio.create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()
