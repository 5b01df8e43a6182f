"""ApiServerSources, as far as they can be decided without an API server: events, what waits, the pod, the fix for missing rights."""

import json
from typing import Any

import msgspec
import pytest

from eventing.apiserver import access, changes, config, manifest
from eventing.apiserver.outbox import Change, Outbox
from kfn.api import apiserversource as api
from kfn.api.core import Deployment, DeploymentCondition, DeploymentStatus
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.api.raw import Raw
from kfn.api.shapes import Selector
from kfn.api.sourced import CloudEventOverrides

MAPS = Kind("", "v1", "ConfigMap", "configmaps", Raw)
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments", Raw)
NODES = Kind("", "v1", "Node", "nodes", Raw, False)


def raw(name: str = "c", uid: str = "u", version: int = 7, namespace: str = "shop", **more: Any) -> Raw:
    meta = {"name": name, "uid": uid, "resourceVersion": str(version), **({"namespace": namespace} if namespace else {})}
    return Raw.read_json({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **more})


def source(uid: str = "source-uid", **spec: Any) -> api.ApiServerSource:
    resources = [api.ApiVersionKindSelector("v1", "ConfigMap", Selector({"app": "shop"}))]
    return api.ApiServerSource(
        metadata=ObjectMeta(name="maps", namespace="shop", uid=uid), spec=api.ApiServerSourceSpec(resources=resources, **spec)
    )


def configured(**spec: Any) -> config.Config:
    return config.of(source(**spec), "https://10.0.0.1:443", ("shop",))


class TestEvents:
    def test_a_reference_names_the_object_by_knatives_attributes(self) -> None:
        event = changes.event(configured(), MAPS, "add", raw(data={"a": "b"}), "2026-01-01T00:00:00Z")
        assert event.data is not None and json.loads(event.data) == {
            "kind": "ConfigMap", "namespace": "shop", "name": "c", "apiVersion": "v1"
        }  # fmt: skip
        told = dict(event.attributes)
        assert told.pop("id").startswith("u-7-add-")
        assert told == {
            "specversion": "1.0",
            "source": "https://10.0.0.1:443",
            "type": "dev.knative.apiserver.ref.add",
            "subject": "/apis/v1/namespaces/shop/configmaps/c",
            "time": "2026-01-01T00:00:00Z",
            "datacontenttype": "application/json",
            "apiversion": "v1",
            "kind": "ConfigMap",
            "name": "c",
            "namespace": "shop",
        }

    def test_a_resource_is_the_whole_object_with_what_no_type_here_knows(self) -> None:
        event = changes.event(configured(mode="Resource"), DEPLOYMENTS, "update", raw(anything={"at": ["all"]}), "t")
        assert event.type == "dev.knative.apiserver.resource.update"
        assert event.attributes["subject"] == "/apis/apps/v1/namespaces/shop/deployments/c"
        assert json.loads(event.data or b"")["anything"] == {"at": ["all"]}

    def test_what_has_no_namespace_has_no_such_attribute(self) -> None:
        event = changes.event(configured(), NODES, "delete", raw(namespace=""), "t")
        assert "namespace" not in event.attributes and json.loads(event.data or b"").keys() == {"kind", "name", "apiVersion"}

    def test_overrides_are_on_every_event(self) -> None:
        event = changes.event(configured(ce_overrides=CloudEventOverrides({"team": "a"})), MAPS, "add", raw(), "t")
        assert event.attributes["team"] == "a"

    def test_ids_repeat_for_the_same_change_and_for_nothing_else(self) -> None:
        def id_of(verb: str = "add", obj: Raw | None = None, **of: Any) -> str:
            return changes.event(config.of(source(**of), "https://x", ("a",)), MAPS, verb, obj or raw(), "t").id

        assert id_of() == id_of()
        others = {id_of("update"), id_of(obj=raw(version=8)), id_of(obj=raw(uid="v")), id_of(uid="another"), id_of(mode="Resource")}
        assert len(others | {id_of()}) == 6

    def test_only_what_is_controlled_by_the_owner_asked_for_passes(self) -> None:
        owned = ObjectMeta(owner_references=[OwnerReference("apps/v1", "ReplicaSet", "r", controller=True), OwnerReference("v1", "Node")])
        assert changes.is_owned(None, ObjectMeta())
        assert changes.is_owned(config.Owner("apps/v1", "ReplicaSet"), owned) and changes.is_owned(config.Owner("", "ReplicaSet"), owned)
        assert not changes.is_owned(config.Owner("v1", "Node"), owned) and not changes.is_owned(
            config.Owner("apps/v1", "ReplicaSet"), ObjectMeta()
        )


class TestConfig:
    def test_it_survives_the_environment_of_a_pod(self) -> None:
        spec: dict[str, Any] = {
            "owner": api.ApiVersionKind("apps/v1", "Deployment"),
            "filters": [{"cesql": "name LIKE 'a%'"}],
            "ce_overrides": CloudEventOverrides({"team": "a"}),
        }
        made = configured(**spec)
        assert config.loads(config.dumps(made)) == made
        assert made.resources == (config.Resource("v1", "ConfigMap", "app=shop"),)
        everywhere = config.of(source(), "https://x", None)
        assert config.loads(config.dumps(everywhere)).namespaces is None


class TestOutbox:
    def change(self, uid: str, version: int, verb: str = "update") -> Change:
        return Change(MAPS, verb, raw(uid=uid, version=version), "t")

    def test_changes_of_one_object_go_one_after_the_other_those_of_others_beside_them(self) -> None:
        box = Outbox()
        for one in (a1 := self.change("a", 1), a2 := self.change("a", 2), b := self.change("b", 3)):
            box.add(one)
        assert (box.take(), box.take(), box.take()) == (a1, b, None)
        box.done(a1)
        assert box.take() == a2 and len(box) == 2

    def test_what_was_taken_and_not_sent_comes_first_again(self) -> None:
        box = Outbox()
        box.add(one := self.change("a", 1))
        box.add(self.change("a", 2))
        taken = box.take()
        assert taken == one
        box.put_back(taken)
        assert box.take() == one and len(box) == 2

    def test_at_its_bound_the_changes_of_an_object_become_its_last(self) -> None:
        box = Outbox(most=4)
        assert [box.add(one) for one in (self.change("a", 1, "add"), self.change("a", 2), self.change("b", 3))] == [0, 0, 0]
        assert box.add(self.change("b", 4, "delete")) == 2 and not box.full
        first, second = box.take(), box.take()
        assert first is not None and (first.verb, first.obj.metadata.resource_version) == ("add", "2")
        assert second is not None and (second.verb, second.obj.metadata.resource_version) == ("delete", "4")

    def test_as_many_objects_as_its_bound_make_it_full_until_half_is_sent(self) -> None:
        box = Outbox(most=4)
        for n in range(6):  # a list is taken whole
            box.add(self.change(f"o{n}", n))
        assert box.full and len(box) == 6
        for _ in range(4):
            assert not box.roomy
            taken = box.take()
            assert taken is not None
            box.done(taken)
        assert box.roomy and len(box) == 2

    def test_large_objects_fill_it_too(self) -> None:
        box = Outbox(most_bytes=2000)
        for n in range(3):
            box.add(Change(MAPS, "update", raw(uid=f"o{n}", data={"k": "x" * 900}), "t"))
        assert box.full


class TestPod:
    def made(self, **spec: Any) -> Any:
        one = source(**spec)
        return manifest.deployment(
            manifest.Pods("kfn:1", pull_secrets=("regcred",)), one, config.of(one, "https://x", ("shop",)), "http://sink"
        )

    def test_it_runs_kfns_image_with_the_rights_of_the_sources_service_account_and_no_more(self) -> None:
        made = self.made(service_account_name="watcher")
        pod = made["spec"]["template"]["spec"]
        assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("watcher", True)
        [container] = pod["containers"]
        assert container["image"] == "kfn:1" and container["args"][:2] == ["source-adapter", "apiserver"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]} and "volumes" not in pod
        assert pod["imagePullSecrets"] == [{"name": "regcred"}]
        [owner] = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("ApiServerSource", "source-uid", True)

    def test_it_has_a_secret_only_if_the_source_names_one_to_publish_with(self) -> None:
        one = msgspec.structs.replace(
            source(), metadata=ObjectMeta(name="m", namespace="n", annotations={"eventing.kfn.dev/auth": "kfn-events"})
        )
        made = manifest.deployment(manifest.Pods("kfn:1"), one, config.of(one, "https://x", ("n",)), "http://sink")
        pod = made["spec"]["template"]["spec"]
        assert [volume["secret"]["secretName"] for volume in pod["volumes"]] == ["kfn-events"]
        mounted = pod["containers"][0]["volumeMounts"][0]["mountPath"]
        assert {"name": config.TOKENS, "value": mounted} in pod["containers"][0]["env"]

    def test_a_change_of_what_it_does_is_seen_by_its_hash(self) -> None:
        hashes = {one["metadata"]["annotations"][manifest.HASH] for one in (self.made(), self.made(), self.made(mode="Resource"))}
        assert len(hashes) == 2

    def test_two_sources_never_share_a_name(self) -> None:
        long = [api.ApiServerSource(metadata=ObjectMeta(name="a" * 60 + end, uid=end)) for end in "xy"]
        names = {manifest.name(one) for one in long}
        assert len(names) == 2 and all(len(name) <= 63 for name in names)

    @pytest.mark.parametrize(
        ("conditions", "counts", "expected"),
        [
            ([DeploymentCondition("Available", "True")], (1, 0), ("True", "")),
            ([DeploymentCondition("Available", "True")], (1, 1), ("Unknown", "DeploymentUnavailable")),
            ([DeploymentCondition("Available", "False")], (1, 1), ("Unknown", "DeploymentUnavailable")),
            ([], (0, 1), ("Unknown", "DeploymentUpdating")),
            (
                [
                    DeploymentCondition("Available", "False"),
                    DeploymentCondition("Progressing", "False", "ProgressDeadlineExceeded", "late"),
                ],
                (1, 1),
                ("False", "ProgressDeadlineExceeded"),
            ),
            (
                [DeploymentCondition("ReplicaFailure", "True", "FailedCreate", 'serviceaccount "w" not found')],
                (0, 1),
                ("False", "FailedCreate"),
            ),
        ],
    )
    def test_deployed_says_what_the_cluster_says(
        self, conditions: list[DeploymentCondition], counts: tuple[int, int], expected: tuple[str, str]
    ) -> None:
        status = DeploymentStatus(updated_replicas=counts[0], unavailable_replicas=counts[1], conditions=conditions)
        found = manifest.deployed(Deployment(metadata=ObjectMeta(name="d", namespace="n"), status=status))
        assert (found.status, found.reason) == expected


class TestFix:
    def test_it_is_two_commands_for_the_namespace_where_that_is_enough(self) -> None:
        assert access._fix(configured(), [MAPS, DEPLOYMENTS], "w") == (
            "kubectl create role maps-watcher --verb=get,list,watch --resource=configmaps,deployments.apps -n shop && "
            "kubectl create rolebinding maps-watcher --role=maps-watcher --serviceaccount=shop:w -n shop"
        )

    def test_and_for_the_cluster_where_more_is_watched(self) -> None:
        assert "create clusterrole maps-watcher" in access._fix(config.of(source(), "https://x", None), [MAPS], "w")
        assert "create clusterrole maps-watcher" in access._fix(configured(), [NODES], "w")
