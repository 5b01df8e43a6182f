"""The small pure decisions: which instance, which time limit, which probe, which address, where a cold start's time went."""

import random
from dataclasses import dataclass

import pytest

from gateway import addresses, coldstart, policy
from gateway.observe.account import Meter
from gateway.pick import pick
from gateway.timeouts import Progress, check
from kfn.api.core import (
    Container,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ExecAction,
    HTTPGetAction,
    ObjectReference,
    Probe,
    TCPSocketAction,
)  # fmt: skip
from kfn.api.meta import Condition
from kfn.api.serving import Revision, RevisionSpec, RevisionStatus
from kfn.load import RevisionKey


@dataclass
class Load:
    active: int


class TestPick:
    def test_none_is_picked_when_all_are_full(self) -> None:
        assert pick([], 0, 0.5) == -1
        assert pick([Load(1)], 1, 0.5) == -1
        assert pick([Load(9), Load(9)], 9, 0.5) == -1

    def test_a_small_limit_fills_the_first(self) -> None:
        assert pick([Load(0), Load(0)], 1, 0.99) == 0
        assert pick([Load(1), Load(0)], 1, 0.0) == 1

    def test_the_less_loaded_of_two_is_picked(self) -> None:
        assert {pick([Load(5), Load(1)], 0, c / 100) for c in range(100)} == {1}

    def test_a_place_is_found_if_there_is_one(self) -> None:
        rng = random.Random(3)
        for _ in range(300):
            limit = rng.randint(1, 12)
            loads = [Load(rng.randint(0, limit)) for _ in range(rng.randint(1, 8))]
            index = pick(loads, limit, rng.random())
            assert (index >= 0) == any(x.active < limit for x in loads)
            assert index < 0 or loads[index].active < limit

    def test_everyone_has_a_chance(self) -> None:
        rng = random.Random(5)
        loads = [Load(0) for _ in range(5)]
        for _ in range(500):
            loads[pick(loads, 0, rng.random())].active += 1
        assert max(x.active for x in loads) - min(x.active for x in loads) <= 4


class TestTimeouts:
    ALL = policy.Policy(timeout=300, response_start=10, idle=5)

    @pytest.mark.parametrize(
        ("progress", "now", "over"),
        [
            pytest.param(Progress(0), 299, "", id="waiting-within"),
            pytest.param(Progress(0), 300, "timeoutSeconds (300 s)", id="waiting-too-long"),
            pytest.param(Progress(0, sent=100), 104, "", id="sent"),
            pytest.param(Progress(0, sent=100), 105, "idleTimeoutSeconds (5 s)", id="silent-since-sent"),
            pytest.param(Progress(0, sent=100, first_byte=101, last_byte=108), 112, "", id="first-byte-came"),
            pytest.param(Progress(0, sent=100, first_byte=101, last_byte=108), 113, "idleTimeoutSeconds (5 s)", id="silent-since-byte"),
        ],
    )
    def test_each_limit_runs_from_its_own_event(self, progress: Progress, now: float, over: str) -> None:
        assert check(self.ALL, progress, now).over == over

    def test_response_start_does_not_count_the_wait(self) -> None:
        only = policy.Policy(timeout=300, response_start=10)
        assert check(only, Progress(0), 200).over == ""
        assert check(only, Progress(0, sent=200), 209).again == 210
        assert check(only, Progress(0, sent=200), 210).over == "responseStartTimeoutSeconds (10 s)"


class TestPolicy:
    @staticmethod
    def _of(
        probe: Probe | None = None, conditions: list[Condition] | None = None, startup: Probe | None = None, **spec: int
    ) -> policy.Policy:
        container = Container(image="x", readiness_probe=probe, startup_probe=startup)
        return policy.of(Revision(spec=RevisionSpec(containers=[container], **spec), status=RevisionStatus(conditions=conditions or [])))  # type: ignore[arg-type]

    def test_limits_are_the_revisions(self) -> None:
        found = self._of(container_concurrency=3, timeout_seconds=9, idle_timeout_seconds=2)
        assert (found.concurrency, found.timeout, found.idle, found.response_start) == (3, 9.0, 2.0, 0.0)
        assert self._of().timeout == 300

    def test_what_only_the_kubelet_can_probe_is_left_to_it(self) -> None:
        assert self._of(Probe(exec=ExecAction(command=["true"]))).probe.direct is False
        assert self._of(startup=Probe()).probe.direct is False
        assert self._of(Probe(http_get=HTTPGetAction(path="/", scheme="HTTPS"))).probe.direct is False

    def test_a_connection_or_a_path_is_probed_from_here(self) -> None:
        assert self._of(None).probe == policy.ProbeBy()
        assert self._of(Probe(tcp_socket=TCPSocketAction())).probe == policy.ProbeBy()
        assert self._of(Probe(http_get=HTTPGetAction(path="health"))).probe.path == "/health"

    def test_a_failed_revision_says_why(self) -> None:
        broken = Condition(type="ContainerHealthy", status="False", reason="ExitCode1", message="boom")
        assert self._of(conditions=[Condition(type="Ready", status="False"), broken]).failure == "ExitCode1: boom"
        idle = [Condition(type="Active", status="False", severity="Info", reason="NoTraffic"), Condition(type="Ready", status="True")]
        assert self._of(conditions=idle).failure == ""


class TestAddresses:
    def test_an_address_has_its_conditions_and_its_pod(self) -> None:
        slice_ = EndpointSlice(
            endpoints=[
                Endpoint(addresses=["10.0.0.1"], target_ref=ObjectReference(name="a")),
                Endpoint(addresses=["10.0.0.2"], conditions=EndpointConditions(ready=False, terminating=True)),
                Endpoint(),
            ],
            ports=[EndpointPort(name="metrics", port=9), EndpointPort(name="http", port=8080)],
        )
        assert addresses.of(slice_) == (
            addresses.Address("10.0.0.1", 8080, ready=True, terminating=False, pod="a"),
            addresses.Address("10.0.0.2", 8080, ready=False, terminating=True),
        )

    def test_ready_in_one_slice_is_ready(self) -> None:
        old, new = (addresses.Address("a", 1, ready=ready, terminating=False) for ready in (False, True))
        assert addresses.merged([(old,), (new,)]) == addresses.merged([(new,), (old,)]) == {("a", 1): new}


class TestColdStart:
    START = coldstart.StartTimes(spawned=10.002, started=10.003, imported=10.040, ready=10.041)

    def test_phases_add_up_to_the_whole(self) -> None:
        spans = coldstart.phases(10.0, 10.0001, 10.045, 10.050, self.START)
        assert spans == {"queue": 0.1, "scale": 1.9, "start": 1.0, "import": 37.0, "ready": 5.0, "handler": 5.0}
        record = coldstart.ColdStart(10.0, "id", "pod", 200, spans, 50.0)
        assert record.server_timing().startswith(b"queue;dur=0.100, scale;dur=1.900, ")
        assert record.server_timing().endswith(b"handler;dur=5.000, total;dur=50.000")

    def test_an_instance_that_was_starting_before_is_not_counted(self) -> None:
        spans = coldstart.phases(10.030, 10.030, 10.045, 10.050, self.START)
        assert spans == {"queue": 0.0, "scale": 0.0, "start": 0.0, "import": 10.0, "ready": 5.0, "handler": 5.0}

    def test_any_marks_at_all_give_phases_that_add_up(self) -> None:
        rng = random.Random(2)
        for _ in range(200):
            marks = [rng.choice([None, rng.uniform(0, 100)]) for _ in range(4)]
            spans = coldstart.phases(10, 10, 40, 50, coldstart.StartTimes(*marks))
            assert sum(spans.values()) == pytest.approx(40_000)
            assert min(spans.values()) >= 0

    def test_a_header_that_cannot_be_read_is_no_harm(self) -> None:
        assert coldstart.parse(b"spawned=1.5, nonsense, ready=x,started=2") == coldstart.StartTimes(spawned=1.5, started=2.0)


class TestMeter:
    KEY = RevisionKey("ns", "r")

    def test_concurrency_is_weighted_by_time(self) -> None:
        meter = Meter(0.0)
        meter.arrive(0.0)
        meter.arrive(0.5)
        meter.leave(0.75, 0.0, 200)
        sample = meter.sample(self.KEY, 0, 1.0)
        assert sample is not None
        assert (sample.concurrency, sample.requests, sample.period) == (1.25, 2, 1.0)

    def test_silence_is_reported_once(self) -> None:
        meter = Meter(0.0)
        assert meter.sample(self.KEY, 0, 1.0) is None
        meter.arrive(1.0)
        meter.leave(1.0, 1.0, 200)
        assert [meter.sample(self.KEY, 0, t) is not None for t in (2.0, 3.0, 4.0)] == [True, True, False]

    def test_a_quiet_one_that_was_not_asked_counts_from_the_last_look_at_all(self):
        meter = Meter(0.0)
        assert meter.quiet
        meter.arrive(60.5)
        assert not meter.quiet
        sample = meter.sample(self.KEY, 0, 61.0, 60.0)
        assert sample is not None and (sample.concurrency, sample.period) == (0.5, 1.0)
