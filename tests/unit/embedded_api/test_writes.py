"""What a write stores, and what it leaves alone."""

import asyncio

import pytest

from embedded.api import writes
from embedded.api.journal import Full
from embedded.api.request import Request
from embedded.api.settings import Settings
from tests.unit.embedded_api.memory import MAPS, MERGE, PODS, SECRETS, Memory

KSVC = "/apis/serving.knative.dev/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICE = {"metadata": {"name": "s"}, "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}
DEPLOYMENT = {"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {}}}


class TestCreate:
    async def test_a_generated_name_starts_as_asked(self):
        m = await Memory.open()
        code, body = await m.call("POST", PODS, {"metadata": {"generateName": "p-"}})
        assert code == 201 and body["metadata"]["name"].startswith("p-") and len(body["metadata"]["name"]) == 7

    async def test_a_generated_name_that_is_taken_is_drawn_again(self, monkeypatch):
        m = await Memory.open()
        drawn = iter("aaaaaaaaaabbbbb")
        monkeypatch.setattr(writes.secrets, "choice", lambda _: next(drawn))
        made = [(await m.call("POST", PODS, {"metadata": {"generateName": "p-"}}))[1]["metadata"]["name"] for _ in range(2)]
        assert made == ["p-aaaaa", "p-bbbbb"]

    async def test_an_owner_without_a_uid_is_refused_by_field(self):
        m = await Memory.open()
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
        code, refusal = await m.call("POST", MAPS, {"metadata": {"name": "a", "ownerReferences": [owner]}})
        assert code == 422 and "metadata.ownerReferences[0].uid: Required value" in refusal["message"]

    async def test_status_and_what_the_server_owns_cannot_be_set(self):
        m = await Memory.open()
        meta = {"name": "d", "uid": "mine", "generation": 9, "creationTimestamp": None, "deletionTimestamp": "2020-01-01T00:00:00Z"}
        _, body = await m.call("POST", DEPLOYMENTS, {**DEPLOYMENT, "metadata": meta, "status": {"replicas": 3}})
        assert body["metadata"]["uid"] != "mine" and body["metadata"]["generation"] == 1
        assert "deletionTimestamp" not in body["metadata"] and not body.get("status")

    async def test_admission_fills_in_defaults_and_says_every_fault_with_its_cause(self):
        m = await Memory.open()
        _, body = await m.call("POST", KSVC, SERVICE)
        assert body["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
        traffic = [{"latestRevision": True, "percent": 90}]
        code, refusal = await m.call("POST", KSVC, {**SERVICE, "metadata": {"name": "t"}, "spec": {**SERVICE["spec"], "traffic": traffic}})
        assert (code, refusal["reason"]) == (422, "Invalid")
        assert refusal["message"].startswith('Service.serving.knative.dev "t" is invalid: spec.traffic')
        assert [c["field"] for c in refusal["details"]["causes"]] == ["spec.traffic"]

    async def test_a_field_without_effect_is_told_and_stored(self):
        m = await Memory.open()
        notes = {"queue.sidecar.serving.knative.dev/cpu-resource-request": "1"}
        request = Request("POST", KSVC, {}, {**SERVICE, "metadata": {"name": "w", "annotations": notes}}, "application/json", "ann")
        answer = await m.server.handle(request)
        assert answer.status == 201
        (said,) = answer.warnings
        assert "has no effect; there is no sidecar" in said

    async def test_a_secrets_text_is_stored_as_data(self):
        m = await Memory.open()
        _, body = await m.call("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"k": "v"}, "data": {"j": "eA=="}})
        assert body["data"] == {"j": "eA==", "k": "dg=="} and body["type"] == "Opaque" and "stringData" not in body

    async def test_a_dry_run_says_what_would_be_and_stores_nothing(self):
        m = await Memory.open()
        code, body = await m.call("POST", KSVC, SERVICE, dryRun="All")
        assert code == 201 and body["spec"]["traffic"]
        assert await m.names(KSVC) == []

    @pytest.mark.parametrize(
        ("key", "value"), [("a", "b c"), ("a", "x" * 64), ("-a", "b"), ("A_b/c", "d"), ("a", "sha256:1"), ("a/b/c", "")]
    )
    async def test_a_label_that_kubernetes_would_refuse_is_refused(self, key, value):
        m = await Memory.open()
        for method, path, media in (("POST", MAPS, "application/json"), ("PATCH", f"{MAPS}/there", MERGE)):
            await m.config_map("there")
            code, refusal = await m.call(method, path, {"metadata": {"name": "there", "labels": {key: value}}}, media)
            assert code == 422 and refusal["details"]["causes"][0]["field"] == "metadata.labels"

    async def test_the_oldest_events_make_room(self):
        m = await Memory.open(Settings(events=2))
        events = "/api/v1/namespaces/default/events"
        for name in "abc":
            await m.call("POST", events, {"metadata": {"name": name}, "involvedObject": {"name": "p"}})
        assert await m.names(events) == ["b", "c"]


class TestUpdate:
    async def test_a_custom_resource_is_replaced_only_by_who_says_which_version(self):
        m = await Memory.open()
        _, made = await m.call("POST", KSVC, SERVICE)
        code, refusal = await m.call("PUT", f"{KSVC}/s", SERVICE)
        assert code == 422 and "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in refusal["message"]
        code, body = await m.call("PUT", f"{KSVC}/s", {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}})
        assert (code, body["metadata"]["labels"], body["metadata"]["generation"]) == (200, {"a": "b"}, 1)

    async def test_spec_writes_never_touch_status_and_the_other_way_round(self):
        m = await Memory.open()
        await m.call("POST", DEPLOYMENTS, DEPLOYMENT)
        await m.call("PATCH", f"{DEPLOYMENTS}/d/status", {"status": {"replicas": 2}, "spec": {"paused": True}}, MERGE)
        await m.call("PATCH", f"{DEPLOYMENTS}/d", {"status": {"replicas": 9}, "spec": {"replicas": 5}}, MERGE)
        _, body = await m.call("GET", f"{DEPLOYMENTS}/d")
        assert (body["status"], body["spec"]["replicas"], "paused" in body["spec"]) == ({"replicas": 2}, 5, False)
        assert body["metadata"]["generation"] == 2

    async def test_defaulting_again_changes_nothing(self):
        m = await Memory.open()
        _, made = await m.call("POST", KSVC, SERVICE)
        _, again = await m.call("PATCH", f"{KSVC}/s", {"spec": SERVICE["spec"]}, MERGE)
        assert again == made

    async def test_a_patch_can_insist_on_a_version(self):
        m = await Memory.open()
        made = await m.config_map("a")
        await m.call("PATCH", f"{MAPS}/a", {"data": {"k": "2"}}, MERGE)
        stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "3"}}
        code, refusal = await m.call("PATCH", f"{MAPS}/a", stale, MERGE)
        assert (code, refusal["reason"]) == (409, "Conflict")
        assert refusal["message"].startswith('Operation cannot be fulfilled on configmaps "a": the object has been modified')

    async def test_strategic_merge_is_for_built_in_kinds_only(self):
        m = await Memory.open()
        await m.call("POST", KSVC, SERVICE)
        code, refusal = await m.call("PATCH", f"{KSVC}/s", {"metadata": {}}, "application/strategic-merge-patch+json")
        assert (code, refusal["reason"]) == (415, "UnsupportedMediaType")

    async def test_apply_creates_then_merges_and_notes_the_manager_once(self):
        m = await Memory.open()
        apply = "application/apply-patch+yaml"
        assert (await m.call("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, apply))[0] == 400  # who applies?
        assert (await m.call("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, apply, fieldManager="me"))[0] == 201
        _, first = await m.call("PATCH", f"{MAPS}/a", {"data": {"y": "2"}}, apply, fieldManager="you")
        _, again = await m.call("PATCH", f"{MAPS}/a", {"data": {"y": "2"}}, apply, fieldManager="you")
        assert first["data"] == {"x": "1", "y": "2"} and again == first
        assert [f["manager"] for f in first["metadata"]["managedFields"]] == ["me", "you"]

    @pytest.mark.parametrize("replicas", [-1, "3", 1.5, True])
    async def test_a_scale_that_is_no_number_of_pods_is_refused(self, replicas):
        m = await Memory.open()
        await m.call("POST", DEPLOYMENTS, DEPLOYMENT)
        code, refusal = await m.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": replicas}}, MERGE)
        assert code == 422 and "spec.replicas" in refusal["message"]

    async def test_a_scale_reads_and_writes_the_replicas(self):
        m = await Memory.open()
        await m.call("POST", DEPLOYMENTS, DEPLOYMENT)
        _, scale = await m.call("GET", f"{DEPLOYMENTS}/d/scale")
        assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "a=b")
        code, after = await m.call("PUT", f"{DEPLOYMENTS}/d/scale", {**scale, "spec": {"replicas": 0}})
        assert (code, after["spec"]["replicas"]) == (200, 0)
        assert (await m.call("PUT", f"{DEPLOYMENTS}/d/scale", {**scale, "spec": {"replicas": 4}}))[0] == 409


class TestCommit:
    async def test_nobody_sees_a_write_before_it_is_on_disk(self):
        m = await Memory.open()
        m.journal.hold()
        creating = asyncio.create_task(m.config_map("a"))
        await asyncio.sleep(0)
        assert await m.names(MAPS) == [] and not creating.done()
        await m.journal.commit()
        await creating
        assert await m.names(MAPS) == ["a"]

    async def test_a_list_promises_no_version_that_is_still_on_its_way(self):
        m = await Memory.open()
        m.journal.hold()
        creating = asyncio.create_task(m.config_map("a"))
        await asyncio.sleep(0)
        _, listed = await m.call("GET", MAPS)
        await m.journal.commit()
        made = await creating
        assert int(listed["metadata"]["resourceVersion"]) < int(made["metadata"]["resourceVersion"])

    async def test_writes_to_one_object_take_turns_and_both_hold(self):
        m = await Memory.open()
        await m.config_map("a")
        m.journal.hold()
        writes = [asyncio.create_task(m.call("PATCH", f"{MAPS}/a", {"data": {k: "1"}}, MERGE)) for k in ("x", "y")]
        await asyncio.sleep(0)
        await m.journal.commit()
        await asyncio.gather(*writes)
        assert (await m.call("GET", f"{MAPS}/a"))[1]["data"] == {"k": "v", "x": "1", "y": "1"}

    async def test_a_cancelled_request_still_publishes_what_was_written(self):
        m = await Memory.open()
        m.journal.hold()
        creating = asyncio.create_task(m.config_map("a"))
        await asyncio.sleep(0)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        await m.journal.commit()
        assert await m.names(MAPS) == ["a"]

    async def test_a_failed_write_is_507_and_the_next_one_may_succeed(self):
        m = await Memory.open()
        m.journal.hold()
        creating = asyncio.create_task(m.call("POST", MAPS, {"metadata": {"name": "a"}}))
        await asyncio.sleep(0)
        await m.journal.commit(Full("the state file cannot be written: disk is full"))
        code, refusal = await creating
        assert (code, refusal["reason"]) == (507, "InsufficientStorage")
        assert (await m.config_map("a"))["kind"] == "ConfigMap"


class TestReplicas:
    """A start waits for its number of replicas to be seen, so that is published ahead of the disk; who asked hears of the disk."""

    async def _held(self) -> "tuple[Memory, asyncio.Task[tuple[int, dict[str, object]]]]":
        m = await Memory.open()
        await m.call("POST", DEPLOYMENTS, DEPLOYMENT)
        m.journal.hold()
        scaling = asyncio.create_task(m.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 3}}, MERGE))
        await asyncio.sleep(0)
        return m, scaling

    async def _replicas(self, m: Memory) -> int:
        return int((await m.call("GET", f"{DEPLOYMENTS}/d"))[1]["spec"]["replicas"])

    async def test_they_are_seen_before_they_are_on_disk_and_answered_after(self):
        m, scaling = await self._held()
        assert await self._replicas(m) == 3 and not scaling.done()
        await m.journal.commit()
        assert (await scaling)[0] == 200

    async def test_a_failed_write_is_told_and_the_same_number_is_written_again(self):
        m, scaling = await self._held()
        await m.journal.commit(Full("the state file cannot be written: disk is full"))
        assert (await scaling)[0] == 507
        m.journal.hold()
        again = asyncio.create_task(m.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 3}}, MERGE))
        await asyncio.sleep(0)
        assert not again.done()
        await m.journal.commit()
        assert (await again)[0] == 200

    async def test_they_wait_their_turn_behind_a_write_whose_version_is_lower(self):
        m = await Memory.open()
        await m.call("POST", DEPLOYMENTS, DEPLOYMENT)
        m.journal.hold()
        other = {**DEPLOYMENT, "metadata": {"name": "other"}}
        creating = asyncio.create_task(m.call("POST", DEPLOYMENTS, other))
        await asyncio.sleep(0)
        scaling = asyncio.create_task(m.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 3}}, MERGE))
        await asyncio.sleep(0)
        assert await self._replicas(m) == 1
        await m.journal.commit()
        await asyncio.gather(creating, scaling)
        assert await self._replicas(m) == 3
