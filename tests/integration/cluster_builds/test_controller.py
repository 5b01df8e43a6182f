"""Builds on the embedded API server, their Jobs as real processes of an ordinary user: every end is a true one."""

import json
import os
import signal
import socket
from pathlib import Path

import anyio
import pytest

from builder.cluster.settings import Settings
from builder.errors import ImageMissing
from builder.registry.client import Registries
from builder.registry.reference import parse_ref
from kfn.api import kinds
from kfn.api.core import Secret
from kfn.api.meta import ObjectMeta
from kfn.kube.lease import Terms
from tests.integration.cluster_builds.stage import HANDLER, Stage, eventually, stage, succeeded, uploaded
from tests.peers.registry import PASSWORD, USER


class TestABuildThatSucceeds:
    async def test_ends_with_the_digest_the_phases_and_how_long_each_took(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.ended(await s.build())
            assert succeeded(build).status == "True", build.status
            assert build.status.image == f"{build.spec.image.repository}@{build.status.digest}"
            assert {"project", "source"} <= {p.name for p in build.status.phases}
            assert build.status.start_time <= build.status.completion_time

    async def test_has_a_log_of_one_json_object_a_line_whose_last_is_the_result(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.ended(await s.build())
            (pod,) = (await s.client.list(kinds.POD))[0]
            async with s.client.logs(pod.metadata.name, "default") as chunks:
                lines = [json.loads(line) for line in b"".join([chunk async for chunk in chunks]).splitlines()]
            assert all({"t", "phase", "msg"} <= set(line) for line in lines[:-1])
            assert lines[-1]["result"]["digest"] == build.status.digest

    async def test_gives_the_same_digest_again(self, folder: Path) -> None:
        async with stage(folder) as s:
            first, second = await s.ended(await s.build()), await s.ended(await s.build(path="other/hello"))
            assert first.status.digest == second.status.digest


class TestABuildThatFails:
    async def test_says_what_is_wrong_with_the_source_and_keeps_the_end_of_the_log(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.ended(await s.build(source={"inline": {"func.py": "def handle(:\n"}}))
            assert succeeded(build).status == "False"
            assert (succeeded(build).reason, build.status.exit_code) == ("SyntaxInvalid", 3)
            assert "func.py" in succeeded(build).message
            assert build.status.log_tail

    async def test_is_ended_by_its_own_timeout(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.ended(await s.build(host=s.silent, timeoutSeconds=2))
            assert (succeeded(build).reason, build.status.exit_code) == ("Timeout", 124)
            assert s.processes() == []

    async def test_whose_secret_is_missing_says_which_one_it_waits_for(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.build(pushSecret="nowhere")

            async def told() -> bool:
                return "nowhere" in succeeded(await s.get(build.metadata.name)).message

            await eventually(told)
            await s.cancel(build)
            assert succeeded(await s.ended(build)).reason == "Cancelled"


class TestARegistry:
    async def test_that_is_down_is_tried_once_more_and_then_told(self, folder: Path) -> None:
        async with stage(folder, Settings(retry_after=3.0)) as s:
            with socket.create_server(("127.0.0.1", 0)) as nobody:
                host = f"127.0.0.1:{nobody.getsockname()[1]}"
            build = await s.build(host=host)
            await s.at(build, "Retrying", seconds=90)
            build = await s.ended(build, seconds=90)
            assert (succeeded(build).status, build.status.exit_code, build.status.attempts) == ("False", 75, 2)
            assert host in succeeded(build).message

    async def test_with_a_login_takes_the_builds_own_secret(self, folder: Path) -> None:
        async with stage(folder, auth="basic") as s:
            login = json.dumps({"auths": {s.host: {"username": USER, "password": PASSWORD}}})
            secret = Secret(
                metadata=ObjectMeta(name="push"), type="kubernetes.io/dockerconfigjson", string_data={".dockerconfigjson": login}
            )
            await s.client.create(kinds.SECRET, secret, "default")
            refused = await s.ended(await s.build(path="team/other"))
            assert (succeeded(refused).status, refused.status.exit_code) == ("False", 4)
            build = await s.ended(await s.build(pushSecret="push"))
            assert succeeded(build).status == "True", build.status
            assert PASSWORD not in repr(build)

    async def test_has_no_source_left_that_no_build_uses(self, folder: Path) -> None:
        source = folder / "hello"
        source.mkdir()
        async with stage(folder, Settings(keep=1)) as s:
            sources = []
            for number in range(2):
                (source / "func.py").write_text(f"N = {number}\n{HANDLER}")
                sources.append(await uploaded(source, s.host, folder / "cache"))
                await s.ended(await s.build(f"b{number}", source={"artifact": sources[-1]}))
                await anyio.sleep(1.01)

            async def one() -> bool:
                return [b.metadata.name for b in (await s.client.list(kinds.BUILD))[0]] == ["b1"]

            await eventually(one)
            async with Registries() as registries:
                with pytest.raises(ImageMissing):
                    await registries.resolve(parse_ref(sources[0]))
                assert await registries.resolve(parse_ref(sources[1]))


class TestCancelling:
    async def test_a_waiting_build_ends_at_once(self, folder: Path) -> None:
        async with stage(folder, node=False, controller=False) as s:
            build = await s.build()
            await s.cancel(build)
            s.controller()
            assert succeeded(await s.ended(build)).reason == "Cancelled"
            assert (await s.client.list(kinds.JOB))[0] == []

    async def test_a_running_build_ends_with_its_process_and_all_that_it_started(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.busy()
            assert s.processes()
            await s.cancel(build)
            assert succeeded(await s.ended(build)).reason == "Cancelled"

            async def none() -> bool:
                return not s.processes()

            await eventually(none)

    async def test_a_build_that_has_ended_stays_as_it_ended(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.ended(await s.build())
            await s.cancel(build)
            await anyio.sleep(0.3)
            assert succeeded(await s.get(build.metadata.name)).status == "True"


class TestWhatIsKilled:
    async def test_a_killed_runner_fails_its_build(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.busy()
            for pid in await eventually(lambda: _pids(s)):
                os.kill(pid, signal.SIGKILL)
            assert succeeded(await s.ended(build)).reason == "Killed"

    async def test_a_job_that_is_deleted_by_hand_fails_its_build_and_says_so(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.busy()
            await s.client.delete(kinds.JOB, build.status.job, "default")
            assert succeeded(await s.ended(build)).reason == "JobDeleted"

    async def test_a_pod_that_is_deleted_by_hand_fails_its_build(self, folder: Path) -> None:
        async with stage(folder) as s:
            build = await s.busy()
            (pod,) = (await s.client.list(kinds.POD))[0]
            await s.client.delete(kinds.POD, pod.metadata.name, "default")
            assert succeeded(await s.ended(build)).status == "False"

    @pytest.mark.parametrize("pause", [0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0])
    async def test_a_controller_that_ends_at_any_moment_is_taken_over_from(self, folder: Path, pause: float) -> None:
        async with stage(folder, controller=False) as s:
            first = s.controller()
            builds = [await s.build(path=f"team/f{i}") for i in range(3)]
            await anyio.sleep(pause)
            first.cancel()
            s.controller()
            ended = [await s.ended(build) for build in builds]
            assert {succeeded(build).status for build in ended} == {"True"}
            assert len((await s.client.list(kinds.JOB))[0]) == 3

    async def test_what_ran_when_the_platform_was_killed_is_told_as_lost(self, folder: Path) -> None:
        async with stage(folder, node=False) as s:
            node = s.node()
            build = await s.busy()
            node.cancel()
            s.node()
            assert succeeded(await s.ended(build)).reason == "NodeLost"


class TestTheQueue:
    async def test_twenty_builds_at_once_run_four_at_a_time_and_all_end(self, folder: Path) -> None:
        async with stage(folder) as s:
            builds = [await s.build(path=f"team/f{i}") for i in range(20)]
            most, positions = 0, set[int]()

            async def all_over() -> bool:
                nonlocal most
                there = (await s.client.list(kinds.BUILD))[0]
                jobs = (await s.client.list(kinds.JOB))[0]
                most = max(most, sum(not job.status.conditions for job in jobs))
                positions.update(b.status.queue_position for b in there)
                return all(succeeded(b).status != "Unknown" for b in there)

            await eventually(all_over, 110)
            assert {succeeded(await s.get(b.metadata.name)).status for b in builds} == {"True"}
            assert 2 <= most <= 4
            assert max(positions) >= 10

    async def test_a_newer_build_of_the_same_image_takes_a_waiting_ones_place(self, folder: Path) -> None:
        async with stage(folder, Settings(per_namespace=1)) as s:
            running = await s.busy("team/busy")
            old = await s.at(await s.build(), "Queued")
            await anyio.sleep(1.1)  # creation times have whole seconds
            new = await s.build()
            assert succeeded(await s.ended(old)).reason == "Superseded"
            await s.cancel(running)
            assert succeeded(await s.ended(new)).status == "True"

    async def test_two_builds_never_write_the_same_tag_at_the_same_time(self, folder: Path) -> None:
        async with stage(folder) as s:
            first = await s.busy()
            second = await s.at(await s.build(host=s.silent), "Queued")
            assert first.metadata.name in succeeded(second).message
            await s.cancel(first)
            await s.at(second, "Building")


class TestSeveralControllers:
    async def test_one_acts_and_another_takes_over(self, folder: Path) -> None:
        terms = Terms(duration=1.0, renew_deadline=0.7, retry=0.1)
        async with stage(folder, controller=False) as s:
            one = s.controller(Settings(lease="default/builds", identity="one"), terms)
            build = await s.ended(await s.build())
            s.controller(Settings(lease="default/builds", identity="two"), terms)
            await anyio.sleep(0.3)
            assert (await s.client.get(kinds.LEASE, "builds", "default")).spec.holder_identity == "one"
            one.cancel()
            assert succeeded(build).status == "True"
            assert succeeded(await s.ended(await s.build())).status == "True"
            assert (await s.client.get(kinds.LEASE, "builds", "default")).spec.holder_identity == "two"


class TestWhatIsKept:
    async def test_beyond_the_newest_of_an_image_finished_builds_and_their_jobs_go(self, folder: Path) -> None:
        async with stage(folder, Settings(keep=2)) as s:
            for i in range(4):
                await s.ended(await s.build(f"b{i}", source={"inline": {"func.py": HANDLER, "n.txt": str(i)}}))
                await anyio.sleep(1.01)

            async def two() -> bool:
                return sorted(b.metadata.name for b in (await s.client.list(kinds.BUILD))[0]) == ["b2", "b3"]

            await eventually(two)

            async def jobs() -> bool:
                return len((await s.client.list(kinds.JOB))[0]) == 2

            await eventually(jobs)


async def _pids(s: Stage) -> list[int]:
    return s.processes()
