"""What an API server is told: whom to ask about what, and that nothing else depends on it."""

import base64

from controller.webhook import configuration
from controller.webhook.settings import Settings
from embedded.api.patch import json_patch
from kfn.api import crd
from kfn.api.base import Json

SETTINGS = Settings()
BESIDE = Settings(url="https://10.0.0.1:9443/")


def hook(whole: Json) -> Json:
    (one,) = whole["webhooks"]
    found: Json = one
    return found


class TestTheConfigurations:
    def test_only_kfns_own_kinds_are_asked_about_and_never_a_status(self) -> None:
        asked = {
            (rule["apiGroups"][0], name) for rule in hook(configuration.validating(SETTINGS, b""))["rules"] for name in rule["resources"]
        }
        assert asked == {(kind.group, kind.plural) for kind in crd.own()}, "each kind with a CRD has rules, and no other"

    def test_deletions_are_not_asked_about(self) -> None:
        for whole in (configuration.mutating(SETTINGS, b""), configuration.validating(SETTINGS, b"")):
            assert all(rule["operations"] == ["CREATE", "UPDATE"] for rule in hook(whole)["rules"])
            assert "deletionTimestamp" in hook(whole)["matchConditions"][0]["expression"]

    def test_the_two_have_their_own_pages(self) -> None:
        one, other = hook(configuration.mutating(SETTINGS, b"ca")), hook(configuration.validating(SETTINGS, b"ca"))
        assert (one["clientConfig"]["service"]["path"], other["clientConfig"]["service"]["path"]) == ("/default", "/validate")
        assert one["name"] != other["name"]
        assert hook(configuration.mutating(BESIDE, b""))["clientConfig"]["url"] == "https://10.0.0.1:9443/default"


class TestRepair:
    def test_only_the_authority_is_written(self) -> None:
        whole = configuration.mutating(SETTINGS, b"old")
        hook(whole)["clientConfig"]["service"]["port"] = 8443
        steps = configuration.repair(whole["webhooks"], SETTINGS, b"new", "/default")
        after = hook(json_patch(whole, steps))["clientConfig"]
        assert after == {"service": {**hook(whole)["clientConfig"]["service"]}, "caBundle": base64.b64encode(b"new").decode()}
        assert not configuration.repair([{**hook(whole), "clientConfig": after}], SETTINGS, b"new", "/default")

    def test_beside_a_cluster_the_service_gives_way_to_the_address(self) -> None:
        whole = configuration.validating(SETTINGS, b"ca")
        steps = configuration.repair(whole["webhooks"], BESIDE, b"ca", "/validate")
        after = hook(json_patch(whole, steps))["clientConfig"]
        assert after["url"] == "https://10.0.0.1:9443/validate" and "service" not in after

    def test_a_hook_that_moved_meanwhile_is_not_overwritten(self) -> None:
        steps = configuration.repair(configuration.mutating(SETTINGS, b"old")["webhooks"], SETTINGS, b"new", "/default")
        assert steps[0] == {"op": "test", "path": "/webhooks/0/name", "value": "default.webhook.kfn.dev"}
