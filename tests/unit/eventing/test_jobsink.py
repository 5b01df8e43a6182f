"""What a JobSink makes of an event: names, Job, Secret, state."""

import base64
from typing import Any

from eventing.jobsink import plan
from kfn.api.base import decode
from kfn.api.batch import Job, JobCondition, JobStatus
from kfn.api.jobsink import ID_LABEL, NAME_LABEL, JobSink, JobSinkSpec
from kfn.api.meta import ObjectMeta


def sink(pod: dict[str, Any] | None = None, name: str = "resize", **job: Any) -> JobSink:
    template = {"template": {"spec": pod or {"containers": [{"name": "c", "image": "i"}]}}}
    return JobSink(metadata=ObjectMeta(name=name, namespace="shop", uid="s"), spec=JobSinkSpec({"spec": template, **job}))


class TestNames:
    def test_the_same_event_has_one_and_no_other_has_it(self) -> None:
        names = {plan.name_of(*of) for of in (("a", "s", "i"), ("a", "s", "j"), ("a", "t", "i"), ("b", "s", "i"), ("a", "si", ""))}
        assert len(names) == 5 and plan.name_of("a", "s", "i") in names

    def test_they_fit_into_a_label_of_pods(self) -> None:
        long = plan.name_of("a." * 100, "s", "i")
        assert len(long) <= 63 and "." not in long and long != plan.name_of("a." * 101, "s", "i")


class TestTheJob:
    def test_it_has_the_event_in_every_container_and_belongs_to_the_sink(self) -> None:
        made = plan.job(sink(), "resize-1")
        pod = made["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert container["env"] == [
            {"name": "K_EXECUTION_MODE", "value": "batch"}, {"name": "K_EVENT_PATH", "value": "/etc/jobsink-event"}
        ]  # fmt: skip
        assert container["volumeMounts"] == [{"name": "jobsink-event", "mountPath": "/etc/jobsink-event", "readOnly": True}]
        assert pod["volumes"] == [{"name": "jobsink-event", "secret": {"secretName": "resize-1"}}]
        assert pod["restartPolicy"] == "Never"
        meta = made["metadata"]
        assert meta["labels"] == {NAME_LABEL: "resize", ID_LABEL: "resize-1"} and (meta["name"], meta["namespace"]) == ("resize-1", "shop")
        assert meta["ownerReferences"][0]["uid"] == "s"
        assert decode(Job, made).spec.template.spec.containers[0].image == "i"

    def test_what_the_spec_says_itself_stays(self) -> None:
        mine = {"name": "jobsink-event", "mountPath": "/in"}
        pod = {"containers": [{"name": "c", "image": "i", "volumeMounts": [mine]}], "restartPolicy": "OnFailure"}
        one = sink(pod, metadata={"name": "ignored", "labels": {"a": "b"}, "annotations": {"c": "d"}})
        made = plan.job(one, "n")
        container = made["spec"]["template"]["spec"]["containers"][0]
        assert container["volumeMounts"] == [mine] and container["env"][-1] == {"name": "K_EVENT_PATH", "value": "/in"}
        assert made["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
        assert made["metadata"]["labels"]["a"] == "b" and made["metadata"]["annotations"] == {"c": "d"}
        assert one.spec.job is not None and "env" not in one.spec.job["spec"]["template"]["spec"]["containers"][0], (
            "the sink is not changed"
        )

    def test_its_secret_holds_the_event_and_goes_with_it(self) -> None:
        job = Job(metadata=ObjectMeta(name="n", namespace="shop", uid="j"))
        made = plan.secret(sink(), job, b"{}")
        assert base64.b64decode(made["data"]["event"]) == b"{}" and made["immutable"]
        assert (made["metadata"]["ownerReferences"][0]["kind"], made["metadata"]["ownerReferences"][0]["uid"]) == ("Job", "j")


class TestState:
    def test_it_is_told_as_knative_tells_it(self) -> None:
        def of(**status: Any) -> plan.State:
            return plan.state(Job(status=JobStatus(**status)))

        assert of() == plan.State(202, "Pending") and of(active=1) == plan.State(202, "Running")
        assert of(conditions=[JobCondition("Complete", "True", "CompletionsReached")]).status == 200
        assert of(conditions=[JobCondition("Failed", "True", "BackoffLimitExceeded", "m")]) == plan.State(
            400, "Failed", "BackoffLimitExceeded", "m"
        )
