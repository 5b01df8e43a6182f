"""What the API server is answered: the embedded server's own verdict, as a patch and a status of Kubernetes."""

import base64
import copy
import json
from typing import Any

import msgspec
import pytest

from controller.webhook.review import BadReview, answer
from embedded.api.patch import json_patch
from kfn.api import kinds
from kfn.api.admission import admit
from kfn.api.base import Json
from kfn.api.errors import Invalid
from tests.unit.api.test_admission import BAD, CORPUS, FUNC, KN, broker, service, trigger


def asked(obj: Json | None, *, old: Json | None = None, operation: str = "", user: str = "ann", **more: Any) -> bytes:
    shown = obj or old or {}
    group, _, version = shown["apiVersion"].rpartition("/")
    request = {
        "uid": "u-1",
        "kind": {"group": group, "version": version, "kind": shown["kind"]},
        "resource": {"group": group, "version": version, "resource": "services"},
        "name": shown["metadata"].get("name", ""),
        "namespace": "default",
        "operation": operation or ("UPDATE" if old else "CREATE"),
        "userInfo": {"username": user, "groups": ["system:authenticated"]},
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        **more,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def respond(body: bytes, *, patch: bool = True) -> Json:
    whole = json.loads(answer(body, patch=patch).encode())
    assert (whole["apiVersion"], whole["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert whole["response"]["uid"] == "u-1"
    response: Json = whole["response"]
    return response


def patched(obj: Json, response: Json) -> Json:
    """What the API server makes of the answer."""
    assert response["allowed"], response
    if "patch" not in response:
        return obj
    assert response["patchType"] == "JSONPatch"
    steps = json.loads(base64.b64decode(response["patch"]))
    assert steps, "an empty patch is not sent"
    made: Json = json_patch(copy.deepcopy(obj), steps)
    return made


def kind_of(obj: Json) -> kinds.Kind[Any]:
    kind = kinds.find(obj["apiVersion"], obj["kind"])
    assert kind is not None
    return kind


class TestTheSameAsTheEmbeddedServer:
    @pytest.mark.parametrize("obj", CORPUS, ids=range(len(CORPUS)))
    def test_what_it_admits_is_patched_to_what_it_stores(self, obj: Json) -> None:
        stored = admit(kind_of(obj), "CREATE", obj, None, "ann")
        assert patched(obj, respond(asked(obj))) == stored

    @pytest.mark.parametrize("obj", CORPUS, ids=range(len(CORPUS)))
    def test_what_has_its_defaults_needs_no_patch(self, obj: Json) -> None:
        once = patched(obj, respond(asked(obj)))
        assert "patch" not in respond(asked(once, user="ann"))
        assert "patch" not in respond(asked(once, old=once, user="bob")), "nothing changed, so bob is not its last modifier"

    @pytest.mark.parametrize("obj", CORPUS, ids=range(len(CORPUS)))
    def test_applying_the_same_manifest_again_changes_no_spec(self, obj: Json) -> None:
        stored = patched(obj, respond(asked(obj)))
        again = patched(obj, respond(asked(obj, old=stored)))
        assert again["spec"] == stored["spec"]

    @pytest.mark.parametrize(("obj", "path", "said"), BAD, ids=[f"{path}-{i}" for i, (_, path, _) in enumerate(BAD)])
    @pytest.mark.parametrize("patch", [True, False], ids=["default", "validate"])
    def test_what_it_refuses_is_refused_in_its_words(self, obj: Json, path: str, said: str, patch: bool) -> None:
        with pytest.raises(Invalid) as info:
            admit(kind_of(obj), "CREATE", obj, None, "ann")
        response = respond(asked(obj), patch=patch)
        assert not response["allowed"] and "patch" not in response
        status = response["status"]
        assert (status["code"], status["reason"], status["message"]) == (422, "Invalid", str(info.value))
        assert path in [cause["field"] for cause in status["details"]["causes"]]
        assert said in status["message"]

    def test_gos_nulls_and_empty_structs_go_with_the_patch(self) -> None:
        for obj in (KN, FUNC):
            assert "null" not in json.dumps(patched(obj, respond(asked(obj))))


class TestAnswers:
    def test_kubectl_gets_a_line_for_each_field(self) -> None:
        details = respond(asked(service(image="", stdin=True)))["status"]["details"]
        assert {k: details[k] for k in ("name", "group", "kind")} == {"name": "hello", "group": "serving.knative.dev", "kind": "Service"}
        assert [cause["field"].rpartition(".")[2] for cause in details["causes"]] == ["stdin", "image"]

    def test_the_user_becomes_creator_and_a_later_one_the_last_modifier(self) -> None:
        old = patched(service(), respond(asked(service(), user="ann")))
        new = patched(service(args=["x"]), respond(asked(service(args=["x"]), old=old, user="bob")))
        notes = new["metadata"]["annotations"]
        assert notes == {"serving.knative.dev/creator": "ann", "serving.knative.dev/lastModifier": "bob"}

    def test_a_name_that_is_drawn_later_is_not_missed(self) -> None:
        obj = service()
        obj["metadata"] = {"generateName": "hello-", "namespace": "default"}
        assert respond(asked(obj))["allowed"]

    def test_a_service_accounts_name_is_refused_in_knatives_words(self) -> None:
        """Its conformance suite looks for this piece of text."""
        obj = service()
        obj["spec"]["template"]["spec"]["serviceAccountName"] = "foo@bar.baz"
        assert "foo@bar.baz: spec.template.spec.serviceAccountName" in respond(asked(obj))["status"]["message"]

    def test_the_defaulting_page_patches_and_the_validating_page_warns(self) -> None:
        obj = service()
        obj["spec"]["template"]["metadata"] = {"annotations": {"autoscaling.knative.dev/target-burst-capacity": "0"}}
        first, second = respond(asked(obj)), respond(asked(obj), patch=False)
        assert "patch" in first and "warnings" not in first
        assert "patch" not in second
        assert second["warnings"] == [
            "spec.template.metadata.annotations[autoscaling.knative.dev/target-burst-capacity]: has no effect; "
            "every request goes through kfn's gateway"
        ]

    def test_a_dry_run_is_answered_like_any_other(self) -> None:
        assert respond(asked(service(), dryRun=True)) == respond(asked(service()))


class TestLetThrough:
    def test_an_object_that_is_being_deleted_loses_its_finalizers_whatever_it_says(self) -> None:
        old = service(image="")
        old["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}
        new = copy.deepcopy(old)
        new["metadata"]["finalizers"] = []
        for patch in (True, False):
            assert respond(asked(new, old=old), patch=patch) == {"uid": "u-1", "allowed": True}

    @pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
    def test_other_operations(self, operation: str) -> None:
        assert respond(asked(None, old=service(image=""), operation=operation)) == {"uid": "u-1", "allowed": True}

    def test_a_status(self) -> None:
        broken = service(image="")
        assert respond(asked(broken, old=broken, subResource="status")) == {"uid": "u-1", "allowed": True}

    def test_a_kind_of_a_later_version_that_the_chart_asks_about_already(self) -> None:
        obj = {"apiVersion": "serving.knative.dev/v9", "kind": "Teleport", "metadata": {"name": "x"}}
        assert respond(asked(obj)) == {"uid": "u-1", "allowed": True}


class TestNotAReview:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            pytest.param(b"", "not an AdmissionReview", id="nothing"),
            pytest.param(b"{", "not an AdmissionReview", id="half"),
            pytest.param(b"[]", "not an AdmissionReview", id="a list"),
            pytest.param(b"{}", "not an AdmissionReview", id="empty"),
            pytest.param(b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', "request", id="no request"),
            pytest.param(asked(service()).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1", 1), "v1beta1", id="old"),
            pytest.param(asked(service()).replace(b'"u-1"', b"7"), "uid", id="wrong type"),
            pytest.param(b"[" * 100_000, "not an AdmissionReview", id="deep"),
            pytest.param(b"\xff\xfe", "not an AdmissionReview", id="no text"),
        ],
    )
    def test_it_is_said_what_is_wrong(self, body: bytes, said: str) -> None:
        with pytest.raises(BadReview, match=said):
            answer(body, patch=True)

    def test_an_object_nested_too_deeply_is_refused_and_not_the_end_of_the_process(self) -> None:
        deep: Any = {}
        for _ in range(900):
            deep = {"a": deep}
        obj = service()
        obj["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = deep
        response = respond(asked(obj))
        assert not response["allowed"]
        assert response["status"]["code"] in (400, 422)

    @pytest.mark.parametrize("obj", [service(), trigger(), broker()], ids=["service", "trigger", "broker"])
    @pytest.mark.parametrize("place", ["spec", "metadata", "annotations"])
    @pytest.mark.parametrize("junk", [7, "x", [1], True], ids=repr)
    def test_junk_where_an_object_should_be_is_refused(self, obj: Json, place: str, junk: Any) -> None:
        """The API server checks a CRD's types only after the webhook was asked."""
        obj = copy.deepcopy(obj)
        if place == "annotations":
            obj["metadata"]["annotations"] = junk
        else:
            obj[place] = junk
        body = msgspec.json.encode({**json.loads(asked(service()))})
        request = json.loads(body)
        group, _, version = obj["apiVersion"].rpartition("/")
        request["request"] |= {"object": obj, "kind": {"group": group, "version": version, "kind": obj["kind"]}}
        assert not respond(json.dumps(request).encode())["allowed"]
