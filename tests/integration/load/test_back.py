"""What the autoscaler says to gateways on the answer of their reports: where pods start, and what it asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
from starlette.applications import Starlette

from autoscaler.receive import Receiver
from autoscaler.settings import Settings as AutoscalerSettings
from gateway.load.report import Reporter
from gateway.settings import Settings
from kfn import load_wire
from kfn.load import RevisionKey
from kfn.load_wire import Gone, Starting
from kfn.observe import web
from tests.integration.load.test_wire import KEY, TOKEN, Heard, reporting, until


@dataclass
class Gateway:
    """What a gateway does with it."""

    load: Mapping[str, int] = field(default_factory=dict)
    told: list[object] = field(default_factory=list)

    def starting(self, revision: RevisionKey, pod: str, host: str, port: int, *, http2: bool) -> None:
        self.told.append((revision, pod, host, port, http2))

    def gone(self, revision: RevisionKey, pod: str) -> None:
        self.told.append((revision, pod))

    def in_flight(self, revision: RevisionKey) -> Mapping[str, int]:
        return self.load


class World:
    def __init__(self, **settings: int) -> None:
        self.heard = Heard()
        self.receiver = Receiver(self.heard, TOKEN, AutoscalerSettings(**settings))
        self.app = Starlette(routes=[self.receiver.route])


class TestStartingPods:
    async def test_they_are_told_at_once_to_the_gateway_that_is_meant(self) -> None:
        w = World()
        one, two = Gateway(), Gateway()
        async with web.serving(w.app, port=0, drain=1) as port:
            url = f"http://127.0.0.1:{port}"
            async with reporting(url, "one") as first, reporting(url, "two") as second:
                first.hears, second.hears = one, two
                await until(lambda: w.receiver.gateways == ["one", "two"])
                assert w.receiver.tell("one", Starting(*KEY, pod="a", host="10.0.0.1", port=8080, http2=True))
                assert w.receiver.tell("one", Gone(*KEY, pod="a"))
                assert not w.receiver.tell("three", Gone(*KEY, pod="a"))
                await until(lambda: len(one.told) == 2)
                assert one.told == [(KEY, "a", "10.0.0.1", 8080, True), (KEY, "a")] and two.told == []
                w.receiver.end()

    async def test_a_gateway_that_does_not_understand_goes_on(self) -> None:
        w = World()
        async with web.serving(w.app, port=0, drain=1) as port, reporting(f"http://127.0.0.1:{port}") as reporter:
            gateway = reporter.hears = Gateway()
            await until(lambda: w.receiver.gateways)
            line = load_wire.line(Starting(*KEY, pod="a", host="10.0.0.1", port=8080))
            for strange in (b'{"say":"new"}\n', b"{}\n", line.replace(b"8080", b"80800"), line.replace(b"10.0.0.1", b"evil.example")):
                w.receiver._connections["gw-1"].lines.send_nowait(strange)
            w.receiver.tell("gw-1", Gone(*KEY, pod="b"))
            await until(lambda: gateway.told)
            assert gateway.told == [(KEY, "b")] and reporter.connected
            w.receiver.end()

    async def test_one_that_takes_nothing_costs_a_bounded_amount_of_memory(self) -> None:
        w = World(gateway_backlog=5)
        async with web.serving(w.app, port=0, drain=1) as port, reporting(f"http://127.0.0.1:{port}"):
            await until(lambda: w.receiver.gateways)
            assert [w.receiver.tell("gw-1", Gone(*KEY, pod="a")) for _ in range(7)].count(True) <= 6  # one more may be on its way
            w.receiver.end()


class TestQuestions:
    async def test_what_all_gateways_have_under_way_adds_up(self) -> None:
        w = World()
        async with web.serving(w.app, port=0, drain=1) as port:
            url = f"http://127.0.0.1:{port}"
            async with reporting(url, "one") as first, reporting(url, "two") as second:
                first.hears, second.hears = Gateway({"a": 2, "b": 1, "c": 0}), Gateway({"a": 1})
                await until(lambda: len(w.receiver.gateways) == 2)
                assert await w.receiver.busy(KEY, 20) == {"a": 3, "b": 1}
                w.receiver.end()

    async def test_who_does_not_answer_is_not_waited_for_longer_than_asked(self) -> None:
        w = World()
        async with web.serving(w.app, port=0, drain=1) as port:
            url = f"http://127.0.0.1:{port}"
            async with reporting(url, "one") as first, reporting(url, "two"):
                first.hears = Gateway({"a": 2})
                await until(lambda: len(w.receiver.gateways) == 2)
                with anyio.fail_after(20):
                    assert await w.receiver.busy(KEY, 0.2) == {"a": 2}
                w.receiver.end()

    async def test_one_that_goes_meanwhile_is_not_waited_for(self) -> None:
        w = World()
        async with web.serving(w.app, port=0, drain=1) as port, anyio.create_task_group() as tasks:
            url = f"http://127.0.0.1:{port}"
            answers: list[Mapping[str, int]] = []

            async def ask() -> None:
                answers.append(await w.receiver.busy(KEY, 600))

            async with reporting(url, "one"):
                await until(lambda: w.receiver.gateways)
                tasks.start_soon(ask)
                await anyio.sleep(0.1)
            with anyio.fail_after(20):
                while not answers:
                    await anyio.sleep(0.01)
            w.receiver.end()

    async def test_without_gateways_the_answer_comes_at_once(self) -> None:
        assert await World().receiver.busy(KEY, 600) == {}

    async def test_an_answer_is_within_what_a_message_may_be(self) -> None:
        many = {"p" * 240 + f"{n:013}": n for n in range(5000)}
        line = load_wire.busy(9_999_999, many)
        answer = load_wire.message(line)
        assert len(line) < load_wire.MAX_LINE and isinstance(answer, load_wire.Busy)
        assert min(answer.pods.values()) == 5000 - load_wire.MAX_PODS  # the busiest

    async def test_a_reporter_that_nobody_listens_to_is_left_alone(self) -> None:
        reporter = Reporter("http://127.0.0.1:1", lambda: TOKEN, "gw", Settings())
        reporter._heard(Gone(*KEY, pod="a"))
