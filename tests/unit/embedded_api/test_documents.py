"""What the server says about itself: discovery, OpenAPI, CRDs, reviews, tables."""

from datetime import UTC, datetime

import pytest

from embedded.api import openapi, table
from embedded.api.status import StatusError
from kfn.api import kinds
from tests.unit.embedded_api.memory import Memory

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class TestDiscovery:
    async def test_every_kind_is_found_with_its_names_and_subresources(self):
        m = await Memory.open()
        for kind in kinds.ALL:
            base = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
            _, body = await m.call("GET", base)
            listed = {r["name"]: r for r in body["resources"]}
            assert listed[kind.plural]["kind"] == kind.kind
            assert listed[kind.plural].get("shortNames", []) == list(kind.short_names)
            assert {f"{kind.plural}/{s}" for s in kind.subresources} <= set(listed)

    async def test_every_group_leads_to_its_versions(self):
        m = await Memory.open()
        _, groups = await m.call("GET", "/apis")
        for group in groups["groups"]:
            assert (await m.call("GET", f"/apis/{group['name']}"))[1]["preferredVersion"] == group["preferredVersion"]
            assert (await m.call("GET", f"/apis/{group['preferredVersion']['groupVersion']}"))[0] == 200

    async def test_openapi_tells_kubectl_that_field_validation_works(self):
        m = await Memory.open()
        _, index = await m.call("GET", "/openapi/v3")
        assert set(index["paths"]) >= {"api/v1", "apis/apps/v1", "apis/serving.knative.dev/v1"}
        _, body = await m.call("GET", "/openapi/v3/apis/serving.knative.dev/v1")
        patch = body["paths"]["/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}"]["patch"]
        assert patch["x-kubernetes-group-version-kind"] == {"group": "serving.knative.dev", "version": "v1", "kind": "Service"}
        assert "fieldValidation" in [p["name"] for p in patch["parameters"]]
        schema = body["components"]["schemas"]["dev.knative.serving.v1.Service"]
        assert "template" in schema["properties"]["spec"]["properties"] and "labels" in schema["properties"]["metadata"]["properties"]

    def test_openapi_v2_is_the_smallest_protobuf_document(self):
        assert openapi.v2() == b"\x0a\x032.0" + b"\x12\x12" + b"\x0a\x03kfn" + b"\x12\x0bv1.34.0+kfn"


class TestCrds:
    async def test_they_follow_from_the_types_and_cannot_be_written(self):
        m = await Memory.open()
        names = await m.names(CRDS)
        assert "services.serving.knative.dev" in names and "pods" not in names
        _, one = await m.call("GET", f"{CRDS}/brokers.eventing.knative.dev")
        assert one["status"]["conditions"][1] == {
            "type": "Established", "status": "True", "reason": "BuiltIn", "message": "kfn has this kind built in"
        }  # fmt: skip
        assert (await m.call("GET", f"{CRDS}/nope"))[0] == 404
        assert (await m.call("POST", CRDS, {}))[0] == 405

    async def test_kn_finds_no_source_where_there_is_none(self):
        m = await Memory.open()
        assert await m.names(CRDS, labelSelector="duck.knative.dev/none=true") == []


class TestReviews:
    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("authorization.k8s.io/v1/selfsubjectaccessreviews", "allowed"),
            ("authorization.k8s.io/v1/selfsubjectrulesreviews", "resourceRules"),
            ("authentication.k8s.io/v1/selfsubjectreviews", "userInfo"),
        ],
    )
    async def test_whoever_may_ask_may_do_everything(self, path, field):
        m = await Memory.open()
        code, body = await m.call("POST", f"/apis/{path}", {"spec": {"x": 1}})
        assert code == 201 and body["status"][field] and body["spec"] == {"x": 1}
        assert (await m.call("GET", f"/apis/{path}"))[0] == 405


class TestTables:
    ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

    def test_it_is_given_to_those_who_ask_for_it_first(self):
        assert table.wanted(self.ACCEPT) and table.wanted("application/json;as=Table;g=meta.k8s.io;v=v1")
        assert not table.wanted("application/json") and not table.wanted("application/json,application/json;as=Table;v=v1;g=meta.k8s.io")
        assert not table.wanted("application/json;as=Table;v=v1beta1;g=meta.k8s.io")

    def test_a_row_carries_as_much_of_its_object_as_asked(self):
        secret = {"metadata": {"name": "s", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {"k": "dg=="}}
        now = datetime(2026, 1, 1, 1, tzinfo=UTC)

        def row(include: str):
            return table.of(kinds.SECRET, [secret], {}, include, now)["rows"][0]

        assert row("")["cells"][0] == "s" and row("")["object"]["kind"] == "PartialObjectMetadata"
        assert row("Object")["object"] == secret and "object" not in row("None")
        with pytest.raises(StatusError, match="includeObject"):
            row("Everything")
