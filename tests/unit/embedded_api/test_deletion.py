"""Deleting: grace, finalizers, preconditions, and what follows an owner."""

import pytest

from tests.unit.embedded_api.memory import MAPS, MERGE, PODS, SECRETS, Memory


async def family(m: Memory, **reference):
    """A config map that owns a secret that owns a config map."""
    owner = await m.config_map("owner")
    child = await adopt(m, SECRETS, "child", owner, **reference)
    return owner, child, await adopt(m, MAPS, "grandchild", child, **reference)


async def adopt(m: Memory, path: str, name: str, owner, **reference):
    named = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    _, body = await m.call("POST", path, {"metadata": {"name": name, "ownerReferences": [{**named, **reference}]}})
    return body


class TestOne:
    async def test_it_answers_with_success_and_then_not_found(self):
        m = await Memory.open()
        made = await m.config_map("a")
        code, answer = await m.call("DELETE", f"{MAPS}/a")
        assert (code, answer["status"], answer["details"]["uid"]) == (200, "Success", made["metadata"]["uid"])
        assert (await m.call("DELETE", f"{MAPS}/a"))[0] == 404

    @pytest.mark.parametrize("precondition", [{"uid": "other"}, {"resourceVersion": "1"}])
    async def test_a_precondition_that_fails_is_a_conflict(self, precondition):
        m = await Memory.open()
        await m.config_map("a")
        code, refusal = await m.call("DELETE", f"{MAPS}/a", {"preconditions": precondition})
        assert (code, refusal["reason"]) == (409, "Conflict")

    async def test_a_finalizer_holds_it_until_it_is_taken_away(self):
        m = await Memory.open()
        await m.config_map("a", finalizers=["example.com/f"])
        _, marked = await m.call("DELETE", f"{MAPS}/a")
        assert marked["metadata"]["deletionTimestamp"]
        _, again = await m.call("DELETE", f"{MAPS}/a")
        assert again["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]
        await m.call("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, MERGE)
        assert (await m.call("GET", f"{MAPS}/a"))[0] == 404

    async def test_a_pods_grace_is_what_it_says_or_what_is_asked(self):
        m = await Memory.open()
        await m.call("POST", PODS, {"metadata": {"name": "p"}, "spec": {"terminationGracePeriodSeconds": 7}})
        _, marked = await m.call("DELETE", f"{PODS}/p")
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
        _, sooner = await m.call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 2})
        assert sooner["metadata"]["deletionGracePeriodSeconds"] == 2
        _, gone = await m.call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
        assert gone["status"] == "Success"

    async def test_a_dry_run_deletes_nothing(self):
        m = await Memory.open()
        await m.config_map("a")
        await m.call("DELETE", f"{MAPS}/a", {"dryRun": ["All"]})
        assert await m.names(MAPS) == ["a"]

    @pytest.mark.parametrize("options", [{"propagationPolicy": "Sideways"}, {"gracePeriodSeconds": "soon"}])
    async def test_options_nobody_knows_are_400(self, options):
        m = await Memory.open()
        await m.config_map("a")
        assert (await m.call("DELETE", f"{MAPS}/a", options))[0] == 400

    async def test_a_collection_goes_by_selector(self):
        m = await Memory.open()
        await m.config_map("a", labels={"x": "1"})
        await m.config_map("b")
        await m.call("DELETE", MAPS, labelSelector="x=1")
        assert await m.names(MAPS) == ["b"]


class TestOwners:
    async def test_background_takes_children_and_grandchildren_afterwards(self):
        m = await Memory.open()
        await family(m)
        await m.call("DELETE", f"{MAPS}/owner")
        assert await m.names(MAPS) == ["grandchild"]
        await m.collect()
        assert await m.names(MAPS) == [] and await m.names(SECRETS) == []

    async def test_foreground_keeps_the_owner_until_its_children_are_gone(self):
        m = await Memory.open()
        await family(m, blockOwnerDeletion=True)
        await m.call("PATCH", f"{SECRETS}/child", {"metadata": {"finalizers": ["example.com/f"]}}, MERGE)
        await m.call("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Foreground"})
        await m.collect()
        assert await m.names(MAPS) == ["owner"] and await m.names(SECRETS) == ["child"]
        await m.call("PATCH", f"{SECRETS}/child", {"metadata": {"finalizers": None}}, MERGE)
        await m.collect()
        assert await m.names(MAPS) == [] and await m.names(SECRETS) == []

    async def test_orphans_stay_and_forget_their_owner(self):
        m = await Memory.open()
        await family(m)
        await m.call("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Orphan"})
        await m.collect()
        _, child = await m.call("GET", f"{SECRETS}/child")
        assert "ownerReferences" not in child["metadata"]
        assert await m.names(MAPS) == ["grandchild"]

    async def test_a_child_of_an_owner_that_is_gone_already_goes_too(self):
        m = await Memory.open()
        owner = await m.config_map("owner")
        await m.call("DELETE", f"{MAPS}/owner")
        await adopt(m, SECRETS, "late", owner)
        await m.collect()
        assert await m.names(SECRETS) == []

    async def test_a_child_with_another_owner_left_stays(self):
        m = await Memory.open()
        one, two = await m.config_map("one"), await m.config_map("two")
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]} for o in (one, two)
        ]
        await m.call("POST", SECRETS, {"metadata": {"name": "both", "ownerReferences": references}})
        await m.call("DELETE", f"{MAPS}/one")
        await m.collect()
        _, both = await m.call("GET", f"{SECRETS}/both")
        assert [r["name"] for r in both["metadata"]["ownerReferences"]] == ["two"]

    async def test_an_owner_of_a_kind_kfn_does_not_have_is_left_alone(self):
        m = await Memory.open()
        await m.config_map("a", ownerReferences=[{"apiVersion": "x.example/v1", "kind": "Thing", "name": "t", "uid": "u"}])
        await m.collect()
        assert await m.names(MAPS) == ["a"]


class TestNamespaces:
    async def test_one_that_ends_takes_its_objects_and_takes_no_new_ones(self):
        m = await Memory.open()
        maps, pods = "/api/v1/namespaces/other/configmaps", "/api/v1/namespaces/other/pods"
        await m.call("POST", maps, {"metadata": {"name": "a"}})
        await m.call("POST", pods, {"metadata": {"name": "p"}})
        _, ending = await m.call("DELETE", "/api/v1/namespaces/other")
        assert ending["status"]["phase"] == "Terminating"
        code, refusal = await m.call("POST", maps, {"metadata": {"name": "b"}})
        assert code == 403 and "because it is being terminated" in refusal["message"]
        await m.collect()
        assert await m.names("/api/v1/namespaces") == ["default", "other"]  # its pod is still being stopped
        await m.call("DELETE", f"{pods}/p", {"gracePeriodSeconds": 0})
        await m.collect()
        assert await m.names("/api/v1/namespaces") == ["default"]

    async def test_the_default_namespace_stays(self):
        m = await Memory.open()
        assert (await m.call("DELETE", "/api/v1/namespaces/default"))[0] == 403
