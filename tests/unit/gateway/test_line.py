"""The line of one revision, without sockets: order, places, pokes and refusals, in virtual time."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import anyio
import pytest

from gateway.addresses import Address
from gateway.errors import LineFull, Refusal, RevisionFailed
from gateway.instance import Instance
from gateway.line import Line, Shared
from gateway.policy import Policy
from gateway.settings import Settings
from kfn.load import RevisionKey

KEY = RevisionKey("default", "hello-00001")


@dataclass(eq=False)
class Request:
    got: Instance | None = None
    refused: Refusal | None = None
    is_event: bool = False

    def go(self, instance: Instance) -> None:
        assert self.got is None
        self.got = instance

    def refuse(self, why: Refusal) -> None:
        self.refused = why


@dataclass
class Sink:
    pokes: list[tuple[float, int]] = field(default_factory=list)

    def poke(self, revision: RevisionKey, waiting: int) -> None:
        self.pokes.append((anyio.current_time(), waiting))

    def report(self, samples: object) -> None:
        raise AssertionError("a line does not report")


class Fixture:
    def __init__(self, *, limit: int = 0, failure: str = "", settings: Settings | None = None) -> None:
        self.sink = Sink()
        loop = asyncio.get_running_loop()
        shared = Shared(settings or Settings(), self.sink, loop.time)
        shared.later = lambda seconds, call: loop.call_later(seconds, call)
        self.probed: list[int] = []
        shared.probe = self._probe
        self.shared = shared
        self.line = Line(KEY, shared, Policy(concurrency=limit, failure=failure))

    def _probe(self, line: Line, instance: Instance) -> None:
        instance.probing = True
        self.probed.append(instance.address.port)

    def instances(self, *ports: int, ready: bool = True) -> None:
        self.line.set_addresses({("a", p): Address("a", p, ready=ready, terminating=False) for p in ports})

    def arrive(self) -> Request:
        request = Request()
        request.got = self.line.admit(request)
        return request


class TestOrder:
    async def test_requests_go_on_in_the_order_in_which_they_came(self) -> None:
        f = Fixture(limit=1)
        requests = [f.arrive() for _ in range(3)]
        f.instances(1)
        assert [r.got is not None for r in requests] == [True, False, False]
        assert requests[0].got is not None
        f.line.release(requests[0].got)
        assert [r.got is not None for r in requests] == [True, True, False]

    async def test_a_newcomer_does_not_pass_those_who_wait(self) -> None:
        f = Fixture(limit=1)
        f.instances(1)
        first, second, third = (f.arrive() for _ in range(3))
        assert first.got is not None
        f.line.release(first.got)
        assert (second.got is not None, third.got) == (True, None)

    async def test_one_that_leaves_makes_room_for_the_next(self) -> None:
        f = Fixture(limit=1)
        leaver, stayer = f.arrive(), f.arrive()
        f.line.leave(leaver)
        f.instances(1)
        assert (leaver.got, stayer.got is not None) == (None, True)
        assert f.shared.waiting == 0

    async def test_no_instance_ever_holds_more_than_its_limit_and_nobody_is_forgotten(self) -> None:
        rng = random.Random(11)
        f = Fixture(limit=3)
        ports: set[int] = set()
        inside: list[Request] = []
        served = 0
        for _ in range(3000):
            dice = rng.random()
            if dice < 0.45:
                inside.append(f.arrive())
            elif dice < 0.9 and inside:
                request = inside.pop(rng.randrange(len(inside)))
                if request.got is not None:
                    served += 1
                    f.line.release(request.got)
                else:
                    f.line.leave(request)
            elif dice < 0.97:
                ports ^= {rng.randrange(5)}
                f.instances(*ports)
            assert all(i.active <= 3 for i in f.line.instances.values())
            assert len(f.line.waiting) == f.shared.waiting == sum(r.got is None for r in inside)
            free = sum(3 - i.active for i in f.line.usable)
            assert not (free and f.line.waiting), "somebody waits beside a free place"
        assert served > 500


class TestPokes:
    async def test_the_first_to_wait_pokes_at_once_and_growth_is_told_together(self) -> None:
        f = Fixture()
        for _ in range(200):
            f.arrive()
        assert f.sink.pokes == [(0.0, 1)]
        await anyio.sleep(1)
        assert f.sink.pokes == [(0.0, 1), (pytest.approx(0.01), 200)]

    async def test_nobody_is_poked_while_there_is_an_instance(self) -> None:
        f = Fixture(limit=1)
        f.instances(1)
        for _ in range(5):
            f.arrive()
        await anyio.sleep(1)
        assert f.sink.pokes == []

    async def test_the_next_time_at_zero_pokes_again(self) -> None:
        f = Fixture()
        f.arrive()
        f.instances(1)
        f.instances()
        f.arrive()
        assert [waiting for _, waiting in f.sink.pokes] == [1, 1]

    async def test_a_failed_revision_is_tried_once_a_second(self) -> None:
        f = Fixture(failure="ExitCode1: boom")
        for _ in range(30):
            with pytest.raises(RevisionFailed, match="boom"):
                f.arrive()
            await anyio.sleep(0.1)
        assert len(f.sink.pokes) == 3


class TestInstances:
    async def test_a_new_address_is_probed_until_it_is_ready(self) -> None:
        f = Fixture()
        request = f.arrive()
        f.instances(1, ready=False)
        assert (f.probed, request.got) == ([1], None)
        f.line.reached(f.line.instances["a", 1])
        assert request.got is not None

    async def test_one_that_refuses_is_left_out_and_tried_again(self) -> None:
        f = Fixture()
        f.instances(1, 2)
        bad = f.line.instances["a", 1]
        f.line.refused(bad)
        assert {f.arrive().got for _ in range(20)} == {f.line.instances["a", 2]}
        assert f.probed == [1]
        bad.probing = False
        f.line.reached(bad)
        assert bad.usable

    async def test_what_was_seen_before_it_stopped_being_ready_counts_no_more(self) -> None:
        f = Fixture()
        f.instances(1, ready=False)
        f.line.reached(f.line.instances["a", 1])
        f.instances(1)
        f.instances(1, ready=False)
        assert f.line.usable == []

    async def test_a_request_on_an_instance_that_has_gone_can_still_end(self) -> None:
        f = Fixture(limit=1)
        f.instances(1)
        request = f.arrive()
        f.instances()
        assert request.got is not None
        f.line.release(request.got)
        assert f.line.instances == {}


class TestRefusals:
    async def test_a_full_line_is_refused(self) -> None:
        f = Fixture(settings=Settings(line=2, retry_after=7))
        f.arrive()
        f.arrive()
        with pytest.raises(LineFull) as refusal:
            f.arrive()
        assert refusal.value.retry_after == 7

    async def test_all_lines_together_have_a_limit_too(self) -> None:
        f = Fixture(settings=Settings(line_in_all=1))
        f.arrive()
        other = Line(RevisionKey("default", "other"), f.shared, Policy())
        with pytest.raises(LineFull, match="in this gateway"):
            other.admit(Request())

    async def test_those_who_wait_learn_that_the_revision_failed(self) -> None:
        f = Fixture()
        request = f.arrive()
        f.line.set_policy(Policy(failure="ImagePullBackOff: no such image"))
        assert isinstance(request.refused, RevisionFailed)
        assert "no such image" in request.refused.detail
        assert f.shared.waiting == 0

    async def test_a_failed_revision_with_a_living_instance_serves(self) -> None:
        f = Fixture(failure="one of its pods crashed")
        f.instances(1)
        assert f.arrive().got is not None

    @pytest.mark.parametrize(
        ("prepare", "says"),
        [
            (lambda f: None, "none has been started"),
            (lambda f: f.instances(1, ready=False), "1 started but not ready"),
            (lambda f: f.instances(1), "All 1 instances of revision default/hello-00001 are busy"),
        ],
    )
    async def test_not_in_time_says_what_was_missing(self, prepare: Callable[[Fixture], None], says: str) -> None:
        f = Fixture()
        prepare(f)
        assert says in f.line.not_in_time().detail

    async def test_the_autoscaler_is_told_again_when_the_instance_that_took_some_is_gone(self) -> None:
        f = Fixture(limit=1)
        f.arrive(), f.arrive(), f.arrive()
        f.instances(1)
        told = len(f.sink.pokes)
        f.line.set_addresses({})
        assert [waiting for _, waiting in f.sink.pokes[told:]] == [2]

    async def test_a_pod_that_gets_the_address_of_another_is_another_instance(self) -> None:
        f = Fixture()
        old = Address("127.0.0.1", 1, ready=True, terminating=False, pod="old")
        f.line.set_addresses({("127.0.0.1", 1): old})
        before = f.arrive().got
        assert before is not None
        f.line.set_addresses({("127.0.0.1", 1): replace(old, pod="new")})
        after = f.arrive().got
        assert after is not None
        assert (before.name, before.active, before.terminating) == ("old", 1, True)
        assert (after.name, after.active, after.terminating) == ("new", 1, False)
