"""Durations, quantities, names and unknown fields."""

import pytest

from kfn.api.core import Pod
from kfn.api.duration import BadDuration, parse_go, parse_iso
from kfn.api.quantity import BadQuantity, parse
from kfn.api.serving import Service
from kfn.api.unknown import find_unknown, unknown_fields


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("1h30m", 5400), ("1.5h", 5400), ("200ms", 0.2), ("0", 0), ("-1m", -60), ("1m0.5s", 60.5)]
)
def test_go_durations(text: str, seconds: float) -> None:
    assert parse_go(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "60", "s", "1 h", "5x", "-", "PT1S", "1d"])
def test_what_is_no_go_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration, match="60s"):
        parse_go(text)


@pytest.mark.parametrize(("text", "seconds"), [("PT0.2S", 0.2), ("PT30S", 30), ("PT1H5M", 3900), ("P1DT1S", 86401), ("P2W", 1209600)])
def test_iso_durations(text: str, seconds: float) -> None:
    assert parse_iso(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "10s", "P1Y", "pt1s", "PT1S2M", "-PT1S"])
def test_what_is_no_iso_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration, match=r"PT0\.2S"):
        parse_iso(text)


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), (2, 2), ("128Mi", 128 * 2**20), ("1.5Gi", 1.5 * 2**30), ("1e3", 1000), ("1k", 1000), (0.5, 0.5)]
)
def test_quantities(text: str | float, number: float) -> None:
    assert parse(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "1 Gi", "-1", "1GB", "abc", "Mi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(BadQuantity):
        parse(text)


def test_unknown_fields_are_found_at_any_depth() -> None:
    obj = {
        "metadata": {"name": "x", "labels": {"any": "key"}},
        "spec": {"template": {"spec": {"containers": [{"image": "a", "Image": "b"}], "timeout_seconds": 1}}, "trafic": []},
    }
    assert unknown_fields(Service, obj) == ["spec.template.spec.containers[0].Image", "spec.template.spec.timeout_seconds", "spec.trafic"]
    assert [u.suggestion for u in find_unknown(Service, obj)] == ["image", "timeoutSeconds", "traffic"]


def test_what_is_free_form_has_no_unknown_fields() -> None:
    volume = {"name": "v", "nfs": {"any": 1}, "ephemeral": {"volumeClaimTemplate": {"any": 1}}}
    assert unknown_fields(Pod, {"spec": {"volumes": [volume]}}) == []
    assert unknown_fields(Pod, {"spec": ["not", "an", "object"]}) == []


def test_what_is_passed_through_is_known_by_its_shape() -> None:
    spec = {"affinity": {"nodeAffinity": {"required": {}}}, "tolerations": [{"key": "gpu", "efect": "NoSchedule"}]}
    assert unknown_fields(Pod, {"spec": spec}) == ["spec.affinity.nodeAffinity.required", "spec.tolerations[0].efect"]
