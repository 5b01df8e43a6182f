"""What is done about a Build, row by row: its place in the queue, its Job, its end, its removal."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from builder.cluster import manifest, wire
from builder.cluster.expire import Expiry, expiry
from builder.cluster.plan import Plan, Seen, bounded_log, plan
from builder.cluster.queue import Place, place
from builder.cluster.settings import Settings
from kfn.api import conditions
from kfn.api.base import decode
from kfn.api.batch import Job, JobCondition, JobStatus
from kfn.api.build import Build
from kfn.api.core import ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodStatus
from kfn.api.meta import Condition, ObjectMeta
from kfn.clock import timestamp

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
SETTINGS = Settings()
DIGEST = "sha256:" + "d" * 64


def build(name: str = "b", *, age: float = 0, namespace: str = "team", repository: str = "", done: str = "", **fields: Any) -> Build:
    """`done` is the Succeeded condition's status."""
    found = decode(
        Build,
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "generation": 1,
                "creationTimestamp": timestamp(NOW - timedelta(seconds=age)),
            },
            "spec": {
                "source": {"artifact": fields.pop("artifact", "r.example/x@sha256:" + "a" * 64)},
                "image": {"repository": repository or f"r.example/{name}", "tags": ["1"]},
                "timeoutSeconds": 600,
                **fields.pop("spec", {}),
            },
            "status": fields,
        },
    )
    if done:
        status = replace(found.status, conditions=[Condition("Succeeded", done)], completion_time=found.metadata.creation_timestamp)
        return replace(found, status=status)
    return found


def job(of: Build, *, ended: str = "", reason: str = "", age: float = 1, attempt: int = 1) -> Job:
    made = manifest.job(of, attempt, SETTINGS)
    status = JobStatus(conditions=[JobCondition(ended, "True", reason)] if ended else [])
    return replace(made, metadata=replace(made.metadata, creation_timestamp=timestamp(NOW - timedelta(seconds=age))), status=status)


def pod(state: ContainerState | None = None, phase: str = "Failed", **status: Any) -> Pod:
    containers = [ContainerStatus("build", state=state)] if state else []
    return Pod(metadata=ObjectMeta(name="p"), status=PodStatus(phase=phase, container_statuses=containers, **status))


def told(result: str, code: int = 0, **fields: Any) -> Pod:
    """A pod that has ended with a termination message."""
    message = wire.write_result(wire.Result(result, code, **fields))
    return pod(ContainerState(terminated=ContainerStateTerminated(exit_code=code, message=message)), "Succeeded" if code == 0 else "Failed")


def succeeded(of: Build) -> Pod:
    return told(wire.OK, image=f"{of.spec.image.repository}@{DIGEST}", digest=DIGEST)


def ended(wanted: Plan) -> tuple[str, str]:
    found = conditions.find(wanted.status.conditions, "Succeeded")
    assert found is not None
    return found.status, found.reason


def decide(of: Build, **seen: Any) -> Plan:
    return plan(Seen(of, seen.pop("place", Place()), **seen), SETTINGS, NOW)


class TestABuildWithoutAJob:
    def test_starts_when_there_is_room(self) -> None:
        wanted = decide(build())
        assert wanted.create is not None
        assert wanted.create.metadata.name == "b-1"
        assert (wanted.status.job, wanted.status.attempts, ended(wanted)) == ("b-1", 1, ("Unknown", "Starting"))

    def test_waits_where_there_is_none_and_shows_its_position(self) -> None:
        wanted = decide(build(), place=Place(3, "4 builds run"))
        assert wanted.create is None
        assert (wanted.status.queue_position, ended(wanted)) == (3, ("Unknown", "Queued"))

    @pytest.mark.parametrize("reason", ["Superseded", "QueueFull"])
    def test_ends_when_it_will_never_start(self, reason: str) -> None:
        assert ended(decide(build(), place=Place(refused=reason, why="so"))) == ("False", reason)

    def test_that_is_cancelled_never_starts(self) -> None:
        wanted = decide(build(spec={"cancel": True}))
        assert (wanted.create, ended(wanted)) == (None, ("False", "Cancelled"))

    def test_whose_job_is_only_not_seen_yet_makes_no_second_one(self) -> None:
        wanted = decide(build(job="b-1", attempts=1))
        assert (wanted.create, wanted.again_after) == (None, 1.0)

    def test_whose_job_is_surely_gone_fails(self) -> None:
        assert ended(decide(build(job="b-1", attempts=1), lost=True)) == ("False", "JobDeleted")

    def test_whose_job_went_after_it_had_succeeded_succeeds(self) -> None:
        of = build(job="b-1", attempts=1, spec={"cancel": True})
        assert ended(decide(of, lost=True, pod=succeeded(of))) == ("True", "")


class TestABuildWhoseJobRuns:
    def test_is_found_by_its_name_after_a_crash_between_creating_and_telling(self) -> None:
        of = build()
        wanted = decide(of, job=job(of))
        assert (wanted.create, wanted.status.job, wanted.status.attempts) == (None, "b-1", 1)

    def test_says_why_its_pod_waits(self) -> None:
        of = build()
        waiting = pod(ContainerState(waiting=ContainerStateWaiting("ImagePullBackOff", "no such image")), "Pending")
        found = conditions.find(decide(of, job=job(of), pod=waiting).status.conditions, "Succeeded")
        assert found is not None
        assert "ImagePullBackOff: no such image" in found.message

    def test_whose_pod_never_starts_is_told_with_the_secrets_that_it_needs(self) -> None:
        of = build(spec={"indexSecret": "index", "pushSecret": "registry"})
        waiting = decide(of, job=job(of), pod=pod(phase="Pending"))
        found = conditions.find(waiting.status.conditions, "Succeeded")
        assert found is not None
        assert found.message == "its pod is being started (it needs Secret index, Secret registry)"
        late = decide(replace(of, status=waiting.status), job=job(of, ended="Failed", reason="DeadlineExceeded"))
        found = conditions.find(late.status.conditions, "Succeeded")
        assert found is not None
        assert found.message.endswith("Its pod did not start. Are there the Secrets index, registry in namespace team?")

    def test_that_is_cancelled_has_its_job_deleted_once(self) -> None:
        of = build(spec={"cancel": True})
        assert decide(of, job=job(of)).delete is not None
        going = job(of)
        going = replace(going, metadata=replace(going.metadata, deletion_timestamp=timestamp(NOW)))
        assert decide(of, job=going).delete is None

    def test_that_nobody_ends_in_time_is_ended_here(self) -> None:
        of = build()
        wanted = decide(of, job=job(of, age=600 + 121))
        assert (wanted.delete is not None, ended(wanted)) == (True, ("False", "Timeout"))

    def test_is_left_alone_if_its_job_is_somebody_elses(self) -> None:
        other = job(build("b"), age=1)
        other = replace(other, metadata=replace(other.metadata, owner_references=[]))
        wanted = decide(build(), job=other)
        assert (wanted.delete, ended(wanted)) == (None, ("False", "JobConflict"))


class TestABuildWhoseJobHasEnded:
    def test_succeeds_with_the_digest_that_it_told(self) -> None:
        of = build()
        wanted = decide(of, job=job(of, ended="Complete"), pod=succeeded(of))
        assert (ended(wanted), wanted.status.digest, wanted.status.image) == (("True", ""), DIGEST, f"r.example/b@{DIGEST}")

    def test_reads_the_result_from_the_log_where_the_message_is_lost(self) -> None:
        of = build()
        line = json.dumps({"result": json.loads(succeeded(of).status.container_statuses[0].state.terminated.message)})  # type: ignore[union-attr]
        quiet = pod(ContainerState(terminated=ContainerStateTerminated(exit_code=0)), "Succeeded")
        assert ended(decide(of, job=job(of, ended="Complete"), pod=quiet, log=("x", line))) == ("True", "")

    @pytest.mark.parametrize(
        "fields",
        [
            {"image": f"r.example/other@{DIGEST}", "digest": DIGEST},
            {"image": f"r.example/b@{DIGEST}", "digest": "sha256:short"},
            {"image": f"r.example/b:1@{DIGEST}", "digest": DIGEST},
            {},
        ],
    )
    def test_does_not_believe_an_image_that_is_not_its_own(self, fields: dict[str, Any]) -> None:
        of = build()
        assert ended(decide(of, job=job(of, ended="Complete"), pod=told(wire.OK, **fields)))[0] == "False"

    def test_fails_with_what_the_runner_said(self) -> None:
        of = build()
        wanted = decide(of, job=job(of, ended="Failed"), pod=told(wire.FAILED, 3, reason="SyntaxInvalid", message="x"), log=("one", "two"))
        assert (ended(wanted), wanted.status.exit_code, wanted.status.log_tail) == (("False", "SyntaxInvalid"), 3, ["one", "two"])

    def test_tries_once_more_what_may_pass_and_not_again(self) -> None:
        of = build(attempts=1, job="b-1")
        first = decide(of, job=job(of, ended="Failed"), pod=told(wire.FAILED, 75, reason="RegistryUnreachable"))
        assert (ended(first), first.status.attempts, first.status.job) == (("Unknown", "Retrying"), 2, "")
        again = replace(of, status=first.status)
        assert decide(again).create is None  # not before its pause
        later = plan(Seen(again, Place()), SETTINGS, NOW + timedelta(seconds=11))
        assert later.create is not None
        assert later.create.metadata.name == "b-2"
        last = decide(again, job=job(again, ended="Failed", attempt=2), pod=told(wire.FAILED, 75, reason="RegistryUnreachable"))
        assert ended(last) == ("False", "RegistryUnreachable")

    @pytest.mark.parametrize(
        ("the_pod", "job_reason", "reason"),
        [
            (pod(ContainerState(terminated=ContainerStateTerminated(137, reason="OOMKilled"))), "BackoffLimitExceeded", "OutOfMemory"),
            (pod(ContainerState(terminated=ContainerStateTerminated(137))), "BackoffLimitExceeded", "Killed"),
            (pod(ContainerState(terminated=ContainerStateTerminated(1))), "BackoffLimitExceeded", "Failed"),
            (pod(reason="Evicted", message="disk"), "BackoffLimitExceeded", "Evicted"),
            (None, "DeadlineExceeded", "Timeout"),
            (None, "NodeLost", "NodeLost"),
            (None, "BackoffLimitExceeded", "ResultLost"),
        ],
        ids=["out of memory", "killed", "crashed", "evicted", "deadline", "node lost", "pod gone"],
    )
    def test_whose_runner_said_nothing_tells_what_can_be_known(self, the_pod: Pod | None, job_reason: str, reason: str) -> None:
        of = build()
        assert ended(decide(of, job=job(of, ended="Failed", reason=job_reason), pod=the_pod)) == ("False", reason)

    def test_that_succeeded_and_whose_result_is_lost_is_built_again_for_its_digest(self) -> None:
        of = build(attempts=1, job="b-1")
        assert ended(decide(of, job=job(of, ended="Complete"))) == ("Unknown", "Retrying")
        last = build(attempts=2, job="b-2")
        assert ended(decide(last, job=job(last, ended="Complete", attempt=2))) == ("False", "ResultLost")

    def test_that_is_over_stays_so(self) -> None:
        of = build(done="True")
        wanted = decide(of, job=job(of, ended="Failed"), pod=told(wire.FAILED, 1))
        assert ended(wanted) == ("True", "")

    def test_keeps_a_bounded_end_of_its_log(self) -> None:
        kept = bounded_log(["x" * 1000] * 1000)
        assert len(kept) == 40
        assert {len(line) for line in kept} == {400}
        assert bounded_log(["a\x1b[31m"]) == ["a?[31m"]


class TestTheQueue:
    def where(self, of: Build, others: Sequence[Build], running: set[str], **limits: int) -> Place:
        return place(of, [of, *others], running, Settings(**{"per_namespace": 2, "in_all": 3, **limits}))

    def test_is_first_come_first_served_within_a_namespaces_limit(self) -> None:
        busy = [build("r1", age=50), build("r2", age=50)]
        older, newer = build("old", age=20), build("new", age=10)
        running = {"uid-r1", "uid-r2"}
        assert self.where(older, [*busy, newer], running).position == 1
        assert self.where(newer, [*busy, older], running).position == 2

    def test_does_not_keep_another_namespace_waiting(self) -> None:
        busy = [build("r1", age=50), build("r2", age=50), build("w", age=40)]
        assert self.where(build("other", namespace="other"), busy, {"uid-r1", "uid-r2"}) == Place()

    def test_is_bounded_in_all(self) -> None:
        busy = [build(f"r{i}", namespace=f"n{i}", age=50) for i in range(3)]
        assert self.where(build(), busy, {b.metadata.uid for b in busy}).position == 1

    def test_gives_the_last_place_to_the_one_that_came_first(self) -> None:
        busy, older = [build("r1", age=50)], build("old", age=20)
        assert self.where(build("new"), [*busy, older], {"uid-r1"}).position == 2
        assert self.where(older, [*busy, build("new")], {"uid-r1"}) == Place()

    def test_lets_a_newer_build_take_the_place_of_a_waiting_one_of_the_same_image(self) -> None:
        old, new = build("old", age=20, repository="r.example/x"), build("new", age=10, repository="r.example/x")
        assert self.where(old, [new], set()).refused == "Superseded"
        assert self.where(new, [old], set()).refused == ""

    def test_holds_back_a_build_whose_image_another_writes(self) -> None:
        running, waiting = build("r", age=20, repository="r.example/x"), build("w", repository="r.example/x")
        assert self.where(waiting, [running], {"uid-r"}).position == 1

    def test_goes_around_one_that_waits_for_its_image(self) -> None:
        running, held = build("r", age=20, repository="r.example/x"), build("held", age=10, repository="r.example/x")
        assert self.where(build("free"), [running, held], {"uid-r"}) == Place()

    def test_is_full_at_some_time(self) -> None:
        waiting = [build(f"w{i}", age=20) for i in range(3)]
        assert self.where(build(), waiting, set(), queue=3).refused == "QueueFull"


class TestWhatIsKept:
    def kept(self, of: Build, others: Sequence[Build], **settings: Any) -> Expiry:
        return expiry(of, [of, *others], Settings(**{"keep": 2, "keep_seconds": 100.0, **settings}), NOW)

    def test_the_newest_of_an_image_stays_for_ever(self) -> None:
        assert self.kept(build(done="True", age=1000, repository="r.example/x"), []) == Expiry()

    def test_another_of_the_last_few_stays_for_its_time(self) -> None:
        new = build("new", done="True", repository="r.example/x")
        assert self.kept(build("old", done="False", age=40, repository="r.example/x"), [new]).again_after == 60
        assert self.kept(build("old", done="False", age=140, repository="r.example/x"), [new]).gone

    def test_one_beyond_the_last_few_goes_and_its_source_with_it_if_no_other_uses_it(self) -> None:
        newer = [build(f"n{i}", done="True", age=i, repository="r.example/x", artifact="r.example/x@sha256:" + "b" * 64) for i in range(2)]
        old = build("old", done="True", age=20, repository="r.example/x")
        assert self.kept(old, newer) == Expiry(gone=True, sweep=True)
        user = build("user", age=1, repository="r.example/y")
        assert self.kept(old, [*newer, user]) == Expiry(gone=True, sweep=False)

    def test_one_that_runs_is_never_touched(self) -> None:
        assert self.kept(build(age=10**6), []) == Expiry()


class TestTheResult:
    def test_fits_into_a_termination_message_whatever_it_says(self) -> None:
        huge = wire.Result(wire.FAILED, 3, "X" * 500, "ü" * 10000, warnings=("w" * 10000,) * 100)
        assert len(wire.write_result(huge).encode()) <= 4096

    @pytest.mark.parametrize(
        "text", ["", "null", "[]", "{}", '{"result": 3}', '{"result":"ok"}', "[" * 100000, '{"result":"failed","code":-1}']
    )
    def test_that_is_none_is_not_taken_for_one(self, text: str) -> None:
        assert wire.read_result(text, build()) is None

    def test_has_no_control_characters(self) -> None:
        text = json.dumps({"result": "failed", "code": 1, "message": "a\x1b]0;evil\x07b"})
        found = wire.read_result(text, build())
        assert found is not None
        assert found.message == "a?]0;evil?b"
