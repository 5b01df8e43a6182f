"""The embedded Job controller's decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.jobplan import plan, pod
from kfn.api.batch import Job, JobSpec, JobStatus
from kfn.api.core import (
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    EnvVar,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    VolumeMount,
)
from kfn.api.meta import ObjectMeta
from kfn.clock import timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(status: JobStatus | None = None, **spec: Any) -> Job:
    return Job(metadata=ObjectMeta(name="j", namespace="n", uid="u"), spec=JobSpec(**spec), status=status or JobStatus())


def a_pod(phase: str, ended: datetime = NOW, name: str = "j-0") -> Pod:
    over = ContainerState(terminated=ContainerStateTerminated(finished_at=timestamp(ended)))
    return Pod(metadata=ObjectMeta(name=name), status=PodStatus(phase=phase, container_statuses=[ContainerStatus(state=over)]))


def reason(status: JobStatus) -> tuple[str, str]:
    [one] = status.conditions
    return one.type, one.reason


class TestOnePodAtATime:
    def test_at_first_there_is_one_to_make(self) -> None:
        found = plan(job(), [], NOW)
        assert (found.pod, found.status.active, found.status.start_time) == ("j-0", 1, timestamp(NOW))

    def test_while_one_runs_there_is_none(self) -> None:
        found = plan(job(), [a_pod("Running")], NOW)
        assert (found.pod, found.status.active) == ("", 1)

    def test_one_that_succeeds_ends_the_job(self) -> None:
        found = plan(job(), [a_pod("Succeeded")], NOW)
        assert reason(found.status) == ("Complete", "CompletionsReached") and found.status.succeeded == 1 and not found.pod

    def test_one_that_fails_is_followed_by_another_after_a_pause(self) -> None:
        failed = a_pod("Failed", NOW - timedelta(seconds=4))
        found = plan(job(), [failed], NOW)
        assert (found.pod, found.again, found.status.failed) == ("", 6.0, 1)
        assert plan(job(), [failed], NOW + timedelta(seconds=7)).pod == "j-1"

    def test_until_they_are_too_many(self) -> None:
        assert reason(plan(job(backoff_limit=0), [a_pod("Failed")], NOW).status) == ("Failed", "BackoffLimitExceeded")

    def test_what_was_counted_before_a_restart_counts(self) -> None:
        assert plan(job(JobStatus(failed=2, start_time=timestamp(NOW))), [], NOW).pod == "j-2"

    def test_a_suspended_job_has_none(self) -> None:
        found = plan(job(suspend=True), [a_pod("Running")], NOW)
        assert (found.pod, found.stop) == ("", ("j-0",))

    def test_several_at_once_are_refused_in_words(self) -> None:
        assert reason(plan(job(completions=3), [], NOW).status) == ("Failed", "NotSupported")


class TestTime:
    def test_a_deadline_ends_it_with_what_runs(self) -> None:
        late = job(JobStatus(start_time=timestamp(NOW - timedelta(seconds=61))), active_deadline_seconds=60)
        found = plan(late, [a_pod("Running")], NOW)
        assert reason(found.status) == ("Failed", "DeadlineExceeded") and found.stop == ("j-0",)

    def test_what_is_over_is_removed_after_its_time(self) -> None:
        over = plan(job(), [a_pod("Succeeded")], NOW).status
        kept = job(over, ttl_seconds_after_finished=30)
        assert (plan(kept, [], NOW).remove, plan(kept, [], NOW).again) == (False, 30.0)
        assert plan(kept, [], NOW + timedelta(seconds=31)).remove
        assert not plan(job(over), [], NOW + timedelta(days=9)).remove


class TestItsPod:
    def test_it_belongs_to_the_job_and_finds_the_event_where_the_volume_really_is(self) -> None:
        container = Container(
            name="c",
            env=[EnvVar("K_EVENT_PATH", "/etc/jobsink-event"), EnvVar("OTHER", "/etc/jobsink-event")],
            volume_mounts=[VolumeMount("jobsink-event", "/etc/jobsink-event")],
        )
        made = pod(job(template=PodTemplateSpec(spec=PodSpec(containers=[container]))), "j-0")
        assert [one.value for one in made.spec.containers[0].env] == ["$(KFN_VOLUME_JOBSINK_EVENT)", "/etc/jobsink-event"]
        assert made.spec.restart_policy == "Never" and made.metadata.owner_references[0].uid == "u"
