"""The autoscaler on an API server: pokes, ticks, scales, restarts and faults, in virtual time."""

import anyio
import pytest
from msgspec.structs import replace

from autoscaler.app import Autoscaler
from autoscaler.settings import Settings
from kfn.api import kinds
from kfn.api.core import DeploymentStatus
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.load import RevisionKey
from tests.fakes.kube import FakeApi
from tests.unit.autoscaler.world import DEPLOYMENT, KEY, World, world


class TestPoke:
    async def test_the_first_request_scales_from_zero_in_the_same_instant(self) -> None:
        async with world(replicas=0) as w:
            before = anyio.current_time()
            w.autoscaler.poke(KEY, 1)
            await w.until(lambda: w.replicas == 1, step=0.001)
            assert anyio.current_time() - before < 0.002

    async def test_a_burst_of_pokes_becomes_one_write_for_all_of_them(self) -> None:
        async with world(replicas=0) as w:
            for waiting in range(1, 201):
                w.autoscaler.poke(KEY, waiting)
            await w.until(lambda: w.replicas == 20)
            assert w.scales == 1
            await anyio.sleep(1)
            assert w.replicas == 20

    async def test_more_waiting_requests_raise_what_was_asked_for(self) -> None:
        async with world(replicas=0) as w:
            w.autoscaler.poke(KEY, 1)
            await w.until(lambda: w.replicas == 1)
            w.autoscaler.poke(KEY, 25)
            await w.until(lambda: w.replicas == 3)

    async def test_a_poke_for_what_is_not_there_yet_is_remembered(self) -> None:
        async with world(replicas=0) as w:
            w.api.remove(kinds.DEPLOYMENT, DEPLOYMENT)
            await anyio.sleep(0.1)
            w.autoscaler.poke(KEY, 11)
            await anyio.sleep(1)
            w.deploy(0)
            await w.until(lambda: w.replicas == 2)

    async def test_a_poke_for_an_unknown_revision_is_no_error_and_is_forgotten(self) -> None:
        async with world() as w:
            w.autoscaler.poke(RevisionKey("nowhere", "nothing"), 1)
            await anyio.sleep(70)
            assert w.autoscaler._early == {}
            assert w.autoscaler.decisions(RevisionKey("nowhere", "nothing")) == []

    async def test_a_lost_poke_is_made_good_by_the_next_report(self) -> None:
        async with world(replicas=0) as w:
            w.load(3, 3, waiting=3)
            await w.until(lambda: w.replicas == 1, within=0.1)


class TestReports:
    async def test_a_jump_over_the_panic_threshold_does_not_wait_for_the_tick(self) -> None:
        async with world(ready=1) as w:
            w.load(100)
            await w.until(lambda: w.replicas == 15, within=0.1)

    async def test_a_load_that_fits_waits_for_the_tick(self) -> None:
        async with world(ready=1) as w:
            w.load(10)
            await anyio.sleep(0.1)
            assert w.replicas == 1
            await w.until(lambda: w.replicas == 2, within=2)


class TestToZero:
    async def test_it_goes_to_zero_right_when_the_window_is_empty(self) -> None:
        async with world(ready=1) as w:
            for _ in range(30):
                await anyio.sleep(1)
                w.load(1)
            last = anyio.current_time()
            w.load(0, 0)
            at = await w.until(lambda: w.replicas == 0)
            assert 60 <= at - last <= 60.1

    async def test_each_request_begins_the_window_anew(self) -> None:
        async with world(ready=1) as w:
            for _ in range(4):
                w.load(0.001)
                await anyio.sleep(50)
                assert w.replicas == 1

    async def test_a_new_revision_stays_up_for_a_window_after_it_is_ready(self) -> None:
        async with world(window="6s") as w:
            await anyio.sleep(30)
            assert w.replicas == 1
            w.ready(1)
            began = anyio.current_time()
            at = await w.until(lambda: w.replicas == 0)
            assert 6 <= at - began <= 6.1

    async def test_after_a_restart_nothing_is_stopped_before_a_whole_window(self) -> None:
        async with world(replicas=4, ready=4) as w:
            await anyio.sleep(58)
            assert w.replicas == 4
            at = await w.until(lambda: w.replicas == 0)
            assert 60 <= at <= 61

    async def test_retention_and_delay_add_to_the_window(self) -> None:
        async with world(ready=1, window="10s", scale_down_delay="20s", scale_to_zero_pod_retention_period="30s") as w:
            w.load(1)
            last = anyio.current_time()
            at = await w.until(lambda: w.replicas == 0)
            assert 58 <= at - last <= 60.1, "the delay counts from the last tick that wanted one"

    async def test_retention_ends_on_time_and_not_with_a_tick(self) -> None:
        async with world(ready=1, window="10s", scale_to_zero_pod_retention_period="5s") as w:
            await anyio.sleep(0.7)
            w.load(1)
            last = anyio.current_time()
            at = await w.until(lambda: w.replicas == 0, step=0.01)
            assert 15 <= at - last <= 15.05

    async def test_what_sleeps_costs_no_decisions(self) -> None:
        async with world(replicas=0) as w:
            await anyio.sleep(10)
            (record,) = w.autoscaler.decisions(KEY)
            await anyio.sleep(100)
            assert w.autoscaler.decisions(KEY) == [record]


class TestBounds:
    async def test_min_scale_holds_and_a_retired_revision_loses_it(self) -> None:
        async with world(replicas=2, ready=2, min_scale="2") as w:
            await anyio.sleep(200)
            assert w.replicas == 2
            w.revise(routing="reserve", min_scale="2")
            await w.until(lambda: w.replicas == 0, within=5)

    async def test_initial_scale_holds_until_the_first_readiness(self) -> None:
        async with world(replicas=3, initial_scale="3") as w:
            await anyio.sleep(120)
            assert w.replicas == 3
            w.ready(3)
            await w.until(lambda: w.replicas < 3, within=70)

    async def test_what_never_becomes_ready_is_stopped_until_somebody_asks(self) -> None:
        async with world(replicas=1) as w:
            at = await w.until(lambda: w.replicas == 0, step=0.5)
            assert 605 <= at <= 607, "the controller has had time to say why"
            await anyio.sleep(60)
            assert w.replicas == 0
            w.autoscaler.poke(KEY, 1)
            await w.until(lambda: w.replicas == 1)

    async def test_a_hand_on_the_replicas_is_put_right_at_the_next_tick(self) -> None:
        async with world(replicas=1, ready=1) as w:
            w.load(5)
            w.deploy(7, 1)
            await w.until(lambda: w.replicas == 1, within=4)


class TestFaults:
    async def test_a_write_that_fails_is_tried_again_with_the_newest_wish(self) -> None:
        async with world(replicas=0) as w:
            failures = 3

            def fault(method: str, path: str) -> None:
                nonlocal failures
                if path.endswith("/scale") and failures:
                    failures -= 1
                    raise errors.Unreachable("the API server is away")

            w.api.before = fault
            w.autoscaler.poke(KEY, 1)
            await anyio.sleep(0.06)
            w.autoscaler.poke(KEY, 40)
            stale = replace(w.api.the(kinds.DEPLOYMENT, DEPLOYMENT), status=DeploymentStatus(observed_generation=1))
            w.api.put(kinds.DEPLOYMENT, stale)  # its status changes while the write is under way, its replicas are still 0
            await w.until(lambda: w.replicas == 4)
            assert (failures, w.scales) == (0, 1)

    async def test_a_deployment_that_is_gone_is_not_written_again(self) -> None:
        async with world(replicas=1, ready=1) as w:
            w.load(100)
            w.api.remove(kinds.DEPLOYMENT, DEPLOYMENT)
            await anyio.sleep(10)
            assert w.scales == 0
            w.api.remove(kinds.REVISION, KEY.name)
            await anyio.sleep(10)
            assert w.autoscaler.decisions(KEY) == []

    async def test_pokes_before_it_runs_are_kept(self) -> None:
        api = FakeApi()
        early = World(api, Autoscaler(Client(api)))
        early.revise()
        early.deploy(0)
        early.autoscaler.poke(KEY, 1)
        early.load(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(early.autoscaler.run)
            await early.until(lambda: early.replicas == 1)
            tasks.cancel_scope.cancel()


class TestWhy:
    async def test_decisions_are_kept_with_what_they_saw(self) -> None:
        async with world(replicas=0) as w:
            w.autoscaler.poke(KEY, 25)
            await anyio.sleep(10)
            changes = w.autoscaler.decisions(KEY)
            assert [r.decision.replicas for r in changes] == [0, 3]
            assert changes[1].seen.waiting in (25, 0)
            assert changes[1].times > 3

    async def test_only_so_many_are_kept(self) -> None:
        async with world(replicas=1, ready=1, settings=Settings(decisions_kept=5)) as w:
            for turn in range(20):
                w.load(500 if turn % 2 else 5)
                await anyio.sleep(65)
            assert len(w.autoscaler.decisions(KEY)) == 5

    async def test_a_change_is_logged_once_with_its_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "autoscaler")
        async with world(replicas=0) as w:
            w.autoscaler.poke(KEY, 25)
            await anyio.sleep(10)
        (line,) = [r.getMessage() for r in caplog.records if r.name == "autoscaler.app"]
        assert line.startswith("default/hello-00001: 0 -> 3: 25 waiting, 10 fit into one: needs 3")


class TestTheFirstWave:
    async def test_the_rest_follows_in_time_when_nothing_becomes_ready(self) -> None:
        async with world(replicas=0, settings=Settings(first_wave=0.25, wave=1.0)) as w:
            w.autoscaler.poke(KEY, 200, "a")
            await w.until(lambda: w.replicas == 5, within=0.1)
            await anyio.sleep(0.8)
            assert w.replicas == 5
            await w.until(lambda: w.replicas == 20, within=0.4)
