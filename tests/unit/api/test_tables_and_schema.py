"""What kubectl prints, and the CRDs, come from the same types."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.cells import age
from kfn.api.crd import crd
from kfn.api.tables import columns, row

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CREATED = "2026-01-01T23:59:00Z"


def table(kind: kinds.Kind[Any], obj: Json) -> dict[str, Any]:
    return dict(zip([c["name"] for c in columns(kind)], row(kind, obj, NOW), strict=True))


class TestTables:
    def test_a_ksvc_has_knatives_columns(self) -> None:
        obj = {
            "metadata": {"name": "hello", "creationTimestamp": CREATED},
            "status": {
                "url": "http://hello",
                "latestCreatedRevisionName": "hello-00002",
                "latestReadyRevisionName": "hello-00001",
                "conditions": [{"type": "Ready", "status": "False", "reason": "RevisionFailed"}],
            },
        }
        assert table(kinds.SERVICE, obj) == {
            "Name": "hello",
            "URL": "http://hello",
            "LatestCreated": "hello-00002",
            "LatestReady": "hello-00001",
            "Ready": "False",
            "Reason": "RevisionFailed",
        }

    def test_a_revision_shows_its_replicas(self) -> None:
        obj = {"metadata": {"name": "r", "labels": {"serving.knative.dev/configuration": "c"}}, "status": {"actualReplicas": 2}}
        assert table(kinds.REVISION, obj) == {
            "Name": "r", "Config Name": "c", "Generation": "", "Ready": "", "Reason": "", "Actual Replicas": 2, "Desired Replicas": 0,
        }  # fmt: skip

    def test_a_crashing_pod_shows_why_and_how_often(self) -> None:
        obj = {
            "metadata": {"name": "p", "creationTimestamp": CREATED},
            "spec": {"containers": [{"name": "user-container"}]},
            "status": {
                "phase": "Running",
                "containerStatuses": [{"ready": False, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            },
        }
        shown = table(kinds.POD, obj)
        assert (shown["Ready"], shown["Status"], shown["Restarts"], shown["Age"]) == ("0/1", "CrashLoopBackOff", "3", "60s")

    @pytest.mark.parametrize(
        ("status", "deleted", "shown"),
        [
            ({"phase": "Pending"}, False, "Pending"),
            ({"phase": "Running"}, True, "Terminating"),
            ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, False, "ExitCode:3"),
            ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled"}}}]}, False, "OOMKilled"),
        ],
    )
    def test_a_pods_status_is_one_word(self, status: Json, deleted: bool, shown: str) -> None:
        obj: Json = {"metadata": {"deletionTimestamp": CREATED} if deleted else {}, "status": status}
        assert table(kinds.POD, obj)["Status"] == shown

    def test_a_deployment_at_zero_is_ready_with_zero(self) -> None:
        assert table(kinds.DEPLOYMENT, {"metadata": {"name": "d"}, "spec": {"replicas": 0}})["Ready"] == "0/0"
        assert table(kinds.DEPLOYMENT, {"metadata": {"name": "d"}})["Ready"] == "0/1"

    def test_events_lead_with_the_time(self) -> None:
        obj = {"metadata": {"name": "e"}, "lastTimestamp": CREATED, "involvedObject": {"kind": "Pod", "name": "p"}, "message": "m"}
        assert row(kinds.EVENT, obj, NOW)[:4] == ["60s", "", "", "pod/p"]

    @pytest.mark.parametrize("kind", kinds.ALL, ids=lambda k: k.qualified)
    def test_every_kind_has_a_row_for_an_empty_object(self, kind: kinds.Kind[Any]) -> None:
        assert len(row(kind, {}, NOW)) == len(columns(kind)) >= 2

    @pytest.mark.parametrize(
        ("seconds", "shown"),
        [(5, "5s"), (119, "119s"), (125, "2m5s"), (180, "3m"), (4000, "66m"), (4 * 3600 + 60, "4h1m"), (90000, "25h"), (86400 * 3, "3d"),
         (86400 * 100, "100d"), (86400 * 800, "2y70d"), (-60, "<invalid>")],
    )  # fmt: skip
    def test_ages_are_written_as_kubectl_does(self, seconds: int, shown: str) -> None:
        assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == shown


def walk(schema: Any, path: str = "") -> list[tuple[str, Json]]:
    found = [(path, schema)] if isinstance(schema, dict) else []
    for name, child in (schema.get("properties") or {}).items():
        found += walk(child, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            found += walk(schema[name], f"{path}[]")
    return found


class TestSchema:
    @pytest.mark.parametrize("kind", [k for k in kinds.ALL if "knative" in k.group], ids=lambda k: k.qualified)
    def test_a_crd_is_structural(self, kind: kinds.Kind[Any]) -> None:
        made = crd(kind)
        assert made["metadata"]["name"] == f"{kind.plural}.{kind.group}"
        (version,) = made["spec"]["versions"]
        assert version["subresources"] == {"status": {}}
        assert all(c["jsonPath"] for c in version["additionalPrinterColumns"])
        root = version["schema"]["openAPIV3Schema"]
        assert root["properties"]["metadata"] == {"type": "object"}
        for path, schema in walk(root):
            assert "$ref" not in schema
            escapes = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
            assert schema.get("type") or escapes, f"{path} has neither a type nor leave to have none"
        json.dumps(made)

    def test_fields_have_their_json_names_and_types(self) -> None:
        spec = crd(kinds.SERVICE)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        revision = spec["template"]["properties"]["spec"]["properties"]
        limits = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 1000}
        assert {k: v for k, v in revision["containerConcurrency"].items() if k != "description"} == limits
        assert revision["nodeSelector"]["additionalProperties"] == {"type": "string"}
        probe = revision["containers"]["items"]["properties"]["readinessProbe"]["properties"]
        assert probe["tcpSocket"]["properties"]["port"] == {"x-kubernetes-int-or-string": True}
        assert "hostIP" in revision["containers"]["items"]["properties"]["ports"]["items"]["properties"]
