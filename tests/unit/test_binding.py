"""What a SinkBinding does to a workload: which variables, where, whose, and that nothing else is touched."""

import copy
from typing import Any

import pytest

from kfn import binding
from kfn.api.base import Json, decode
from kfn.api.meta import Destination, ObjectMeta
from kfn.api.shapes import Requirement, Selector
from kfn.api.sinkbinding import BoundStatus, SinkBinding, SinkBindingSpec, Subject
from kfn.api.sourced import CloudEventOverrides

URL = "http://sink.example/in"
SINK = {"name": "K_SINK", "value": URL}
NONE = {"name": "K_CE_OVERRIDES"}
PLAIN = {"name": "MODE", "value": "fast"}


def template(*env: Json, **more: Any) -> Json:
    return {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i", "env": list(env)}], "unknownToKfn": {"x": 1}, **more},
    }


def workload(name: str = "a", kind: str = "Deployment", labels: dict[str, str] | None = None, api: str = "apps/v1") -> Json:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": {"template": template(PLAIN)}}


def bound(name: str = "b", subject: Subject | None = None, **meta: Any) -> SinkBinding:
    return SinkBinding(
        metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}", **meta),
        spec=SinkBindingSpec(sink=Destination(uri=URL), subject=subject or Subject("apps/v1", "Deployment", name="a")),
        status=BoundStatus(sink_uri=URL),
    )


class TestInject:
    def test_every_container_and_init_container_gets_the_variables(self) -> None:
        init = {"name": "i", "image": "i"}
        made = binding.inject(template(PLAIN, initContainers=[init, {**init, "env": [PLAIN]}]), URL)
        assert made["spec"]["containers"][0]["env"] == [PLAIN, SINK, NONE]
        assert [one["env"] for one in made["spec"]["initContainers"]] == [[SINK, NONE], [PLAIN, SINK, NONE]]

    def test_overrides_are_json_and_certificates_come_only_where_there_are_some(self) -> None:
        made = binding.inject(template(), URL, CloudEventOverrides({"team": "shop", "area": "eu"}), "PEM")
        assert made["spec"]["containers"][0]["env"] == [
            SINK,
            {"name": "K_CA_CERTS", "value": "PEM"},
            {"name": "K_CE_OVERRIDES", "value": '{"extensions":{"area":"eu","team":"shop"}}'},
        ]

    def test_once_is_enough(self) -> None:
        once = binding.inject(template(PLAIN), URL)
        assert binding.inject(once, URL) == once

    def test_what_is_right_stays_where_it_stands(self) -> None:
        """An order that changes would make a new revision."""
        given = template(SINK, {**NONE, "value": ""}, PLAIN)
        assert binding.inject(given, URL) == given

    def test_another_address_takes_the_place_of_the_old_one_and_of_the_users_own(self) -> None:
        given = template({"name": "K_SINK", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}, SINK, PLAIN)
        assert binding.inject(given, "http://b")["spec"]["containers"][0]["env"] == [PLAIN, {"name": "K_SINK", "value": "http://b"}, NONE]

    def test_nothing_else_changes_and_the_given_template_least(self) -> None:
        given = template(PLAIN, volumes=[{"name": "v"}])
        before = copy.deepcopy(given)
        made = binding.inject(given, URL)
        assert given == before
        made["spec"]["containers"][0]["env"] = [PLAIN]
        assert made == before

    def test_removal_is_the_way_back(self) -> None:
        for given in (template(PLAIN), {"spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i", "env": [PLAIN]}]}}):
            assert binding.remove(binding.inject(given, URL, CloudEventOverrides({"a": "b"}), "PEM")) == given

    def test_what_is_no_pod_template_is_left_alone(self) -> None:
        for odd in ({}, {"spec": None}, {"spec": {"containers": "x"}}, {"spec": {"containers": [None]}}):
            assert binding.inject(odd, URL) == odd


class TestWorkloads:
    def test_a_label_says_whose_it_is_until_it_is_let_go(self) -> None:
        given = workload(labels={"app": "a"})
        made = binding.bind(given, bound())
        assert made["metadata"]["labels"] == {"app": "a", binding.BOUND_BY: "uid-b"}
        assert binding.bind(made, bound()) == made
        assert binding.unbind(made) == given

    def test_a_cron_job_has_its_template_further_down(self) -> None:
        pods = {"spec": {"containers": [{"name": "c"}]}}
        job = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "n"},
            "spec": {"jobTemplate": {"spec": {"template": pods}}},
        }
        made = binding.bind(job, bound())
        assert made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"] == [SINK, NONE]
        assert "template" not in made["spec"]


class TestWhoseItIs:
    def test_by_name_and_kind(self) -> None:
        assert binding.chosen([bound()], workload()) is not None
        for other in (workload("b"), workload(kind="StatefulSet"), workload(api="apps/v2")):
            assert binding.chosen([bound()], other) is None

    @pytest.mark.parametrize(
        ("selector", "labels", "is_so"),
        [
            (Selector({"app": "a"}), {"app": "a", "x": "y"}, True),
            (Selector({"app": "a"}), {"app": "b"}, False),
            (Selector(match_expressions=[Requirement("app", "In", ["a", "b"])]), {"app": "b"}, True),
            (Selector(match_expressions=[Requirement("app", "In", ["a", "b"])]), {}, False),
            (Selector(match_expressions=[Requirement("app", "NotIn", ["a"])]), {}, True),
            (Selector(match_expressions=[Requirement("app", "Exists")]), {"app": ""}, True),
            (Selector(match_expressions=[Requirement("app", "DoesNotExist")]), {"app": ""}, False),
        ],
    )
    def test_by_labels(self, selector: Selector, labels: dict[str, str], is_so: bool) -> None:
        one = bound(subject=Subject("apps/v1", "Deployment", selector=selector))
        assert (binding.chosen([one], workload(labels=labels)) is one) is is_so

    def test_a_selector_is_asked_for_as_kubectl_does(self) -> None:
        terms = [
            Requirement("a", "In", ["x", "y"]),
            Requirement("b", "NotIn", ["z"]),
            Requirement("c", "Exists"),
            Requirement("d", "DoesNotExist"),
        ]
        assert binding.query(Selector({"app": "a"}, terms)) == "app=a,a in (x,y),b notin (z),c,!d"

    def test_who_names_it_comes_before_who_selects_it_and_the_older_before_the_younger(self) -> None:
        selecting = Subject("apps/v1", "Deployment", selector=Selector({}))
        old, young = bound("z", creation_timestamp="2026-01-01"), bound("a", creation_timestamp="2026-01-02")
        oldest = bound("s", selecting, creation_timestamp="2025-01-01")
        assert binding.chosen([young, oldest, old], workload()) is old

    def test_one_that_is_being_deleted_has_nothing_and_an_excluded_workload_is_nobodys(self) -> None:
        assert binding.chosen([bound(deletion_timestamp="2026-01-01")], workload()) is None
        assert binding.chosen([bound()], workload(labels={binding.EXCLUDE: "true"})) is None

    def test_a_binding_from_json_does_the_same(self) -> None:
        subject = {"apiVersion": "apps/v1", "kind": "Deployment", "selector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}
        assert binding.is_for(decode(SinkBinding, {"spec": {"subject": subject}}), workload(labels={"k": "1"}))
