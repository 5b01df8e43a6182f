"""Which pods go when some of several do: the decision, and the autoscaler that asks gateways and writes it."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import anyio
import pytest

from autoscaler.costs import COST, MARK, Candidate, marks
from autoscaler.pods import Pods
from autoscaler.settings import Settings
from kfn.api import kinds, names
from kfn.api.core import Container, ContainerPort, Pod, PodCondition, PodSpec, PodStatus
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.load import RevisionKey
from kfn.load_wire import Downward, Gone, Starting
from tests.fakes.kube import FakeApi
from tests.unit.autoscaler.world import KEY, world


def pod(name: str, busy: int = 0, *, ready: bool = True, cost: str = "") -> Candidate:
    return Candidate(name, ready, busy, cost)


class TestTheDecision:
    def test_those_with_the_least_under_way_go(self) -> None:
        assert marks([pod("a", 5), pod("b", 0), pod("c", 9), pod("d", 1)], 2, 100) == {"b": MARK, "d": MARK}

    def test_pods_that_are_not_ready_go_anyway_and_need_no_mark(self) -> None:
        pods = [pod("a", 5), pod("b", 0), pod("c", ready=False), pod("d", ready=False)]
        assert marks(pods, 2, 100) == {}
        assert marks(pods, 1, 100) == {"b": MARK}

    def test_where_all_have_as_much_to_do_nothing_is_written(self) -> None:
        assert marks([pod("a", 2), pod("b", 2), pod("c", 2)], 1, 100) == {}

    def test_one_that_is_marked_already_is_not_written_again(self) -> None:
        assert marks([pod("a", 5), pod("b", cost=MARK), pod("c", 1)], 2, 100) == {}

    def test_of_equals_the_marked_one_goes(self) -> None:
        assert marks([pod("a"), pod("b", cost=MARK), pod("c", 1)], 2, 100) == {}

    def test_a_mark_of_another_time_is_taken_from_one_that_should_stay(self) -> None:
        assert marks([pod("a", 5, cost=MARK), pod("b", 0), pod("c", 3)], 2, 100) == {"a": None, "b": MARK}

    def test_costs_that_somebody_else_gave_are_left_alone(self) -> None:
        assert marks([pod("a", 5), pod("b", 0, cost="7"), pod("c", 3)], 2, 100) == {}

    def test_no_more_than_allowed_is_written(self) -> None:
        assert len(marks([pod(f"p{n:03}", n) for n in range(50)], 10, 7)) == 7

    @pytest.mark.parametrize("leave", [0, 3, 4])
    def test_when_all_go_or_none_there_is_nothing_to_choose(self, leave: int) -> None:
        assert marks([pod("a", 5), pod("b", 0), pod("c", 3)], leave, 100) == {}


class Told:
    """Gateways that listen, and know what is under way."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Downward]] = []
        self.load: Mapping[str, int] = {}
        self.waiting: Collection[str] = ()
        self.asked = 0

    def tell(self, gateway: str, message: Downward) -> bool:
        self.said.append((gateway, message))
        return True

    async def busy(self, revision: RevisionKey, within: float) -> Mapping[str, int]:
        self.asked += 1
        return self.load

    def waiting_in(self, revision: RevisionKey) -> Collection[str]:
        return self.waiting if revision == KEY else ()


class Running:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.told = Told()
        self.pods = Pods(Client(self.api), self.told, self.told, Settings())

    def put(self, name: str, ip: str = "10.0.0.1", *, ready: bool = True, port: str = "user-port", phase: str = "Running") -> None:
        meta = ObjectMeta(name=name, namespace=KEY.namespace, labels={names.REVISION: KEY.name})
        spec = PodSpec(containers=[Container(name="side"), Container(ports=[ContainerPort(container_port=8080, name=port)])])
        conditions = [PodCondition(type="Ready", status="True" if ready else "False")]
        self.api.put(kinds.POD, Pod(metadata=meta, spec=spec, status=PodStatus(phase=phase, pod_ip=ip, conditions=conditions)))

    def cost(self, name: str) -> str | None:
        return self.api.the(kinds.POD, name).metadata.annotations.get(COST)


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    made = Running()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.pods.run)
        await anyio.sleep(0.1)
        yield made
        tasks.cancel_scope.cancel()


class TestWhatIsWritten:
    async def test_the_idle_pod_is_marked_before_one_goes(self) -> None:
        async with running() as r:
            for name in "abc":
                r.put(name)
            await anyio.sleep(0.1)
            r.told.load = {"a": 3, "c": 1}
            await r.pods.mark(KEY, 2)
            assert [r.cost(name) for name in "abc"] == [None, MARK, None]
            r.told.load = {"b": 3, "c": 1}
            await anyio.sleep(0.1)
            await r.pods.mark(KEY, 2)
            assert [r.cost(name) for name in "abc"] == [MARK, None, None]

    async def test_gateways_are_asked_nothing_when_no_pod_is_too_many(self) -> None:
        async with running() as r:
            r.put("a")
            await anyio.sleep(0.1)
            await r.pods.mark(KEY, 1)
            assert r.told.asked == 0

    async def test_a_pod_that_is_gone_and_an_api_that_refuses_stop_nobody(self) -> None:
        async with running() as r:
            for name in "abc":
                r.put(name)
            await anyio.sleep(0.1)
            r.told.load = {"a": 3}

            def refuse(method: str, path: str) -> None:
                if method == "PATCH":
                    raise errors.Unreachable("away")

            r.api.before = refuse
            await r.pods.mark(KEY, 2)
            assert r.cost("b") is None


class TestWhoIsTold:
    async def test_a_pod_that_is_waited_for_is_told_of_when_it_has_its_address(self) -> None:
        async with running() as r:
            r.told.waiting = ("gw-1", "gw-2")
            r.put("a", "", ready=False)
            await anyio.sleep(0.1)
            assert not r.told.said
            r.put("a", ready=False)
            r.put("a", ready=False)
            await anyio.sleep(0.1)
            message = Starting(*KEY, pod="a", host="10.0.0.1", port=8080)
            assert r.told.said == [("gw-1", message), ("gw-2", message)]

    async def test_one_whose_address_and_readiness_come_in_one_word_is_told_once(self) -> None:
        async with running() as r:
            r.told.waiting = ("gw-1",)
            r.put("a", "", ready=False)
            r.put("a")
            r.put("a")
            await anyio.sleep(0.1)
            assert r.told.said == [("gw-1", Starting(*KEY, pod="a", host="10.0.0.1", port=8080))]

    async def test_that_it_speaks_http2_is_told(self) -> None:
        async with running() as r:
            r.told.waiting = ("gw-1",)
            r.put("a", ready=False, port="h2c")
            await anyio.sleep(0.1)
            assert r.told.said == [("gw-1", Starting(*KEY, pod="a", host="10.0.0.1", port=8080, http2=True))]

    async def test_one_that_ends_before_it_was_ready_is_taken_back(self) -> None:
        async with running() as r:
            r.told.waiting = ("gw-1",)
            r.put("a", ready=False)
            await anyio.sleep(0.1)
            r.told.waiting = ()
            r.put("a", ready=False, phase="Failed")
            await anyio.sleep(0.1)
            assert r.told.said[1:] == [("gw-1", Gone(*KEY, pod="a"))]

    async def test_nobody_is_told_of_what_nobody_waits_for_nor_of_the_end_of_one_that_was_ready(self) -> None:
        async with running() as r:
            r.put("a", ready=False)
            r.put("b", "10.0.0.2")
            await anyio.sleep(0.1)
            r.told.waiting = ("gw-1",)
            r.put("b", "10.0.0.2", phase="Failed")
            await anyio.sleep(0.1)
            assert not r.told.said


class TestTheAutoscaler:
    async def test_it_has_those_chosen_that_go_before_it_writes_fewer(self) -> None:
        async with world(replicas=4, ready=4, window="6s") as w:
            chosen: list[tuple[RevisionKey, int, int]] = []

            async def choose(revision: RevisionKey, leave: int) -> None:
                await anyio.sleep(0.2)
                chosen.append((revision, leave, w.replicas))

            w.autoscaler.before_less = choose
            for _ in range(30):
                w.load(15)
                await anyio.sleep(1)
            assert w.replicas == 3 and chosen == [(KEY, 3, 4)]

    async def test_nothing_is_chosen_when_all_go(self) -> None:
        async with world(replicas=2, ready=2, window="6s") as w:

            async def choose(revision: RevisionKey, leave: int) -> None:
                raise AssertionError

            w.autoscaler.before_less = choose
            await w.until(lambda: w.replicas == 0, within=30)

    async def test_choosing_that_hangs_or_fails_holds_nothing_up(self) -> None:
        async with world(replicas=4, ready=4, window="6s") as w:

            async def choose(revision: RevisionKey, leave: int) -> None:
                await anyio.sleep_forever()

            w.autoscaler.before_less = choose
            for _ in range(30):
                w.load(15)
                await anyio.sleep(1)
            assert w.replicas == 3

            async def fail(revision: RevisionKey, leave: int) -> None:
                raise RuntimeError("nobody to ask")

            w.autoscaler.before_less = fail
            for _ in range(30):
                w.load(8)
                await anyio.sleep(1)
            assert w.replicas == 2

    async def test_a_request_that_comes_meanwhile_does_not_wait_for_the_choice(self) -> None:
        async with world(replicas=4, ready=4, window="6s", settings=Settings(mark=60)) as w:
            begun = anyio.Event()

            async def choose(revision: RevisionKey, leave: int) -> None:
                begun.set()
                await anyio.sleep_forever()

            w.autoscaler.before_less = choose
            for _ in range(30):
                w.load(15)
                await anyio.sleep(1)
                if begun.is_set():
                    break
            w.load(1, waiting=80)
            await w.until(lambda: w.replicas == 8, within=0.1)
