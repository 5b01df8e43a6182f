"""Annotations become a policy, with Knative's arithmetic for the target."""

import pytest

from autoscaler.policy import Policy, policy_of
from autoscaler.settings import Settings
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec


def policy(concurrency: int | None = 0, **annotations: str) -> Policy:
    notes = {f"autoscaling.knative.dev/{k.replace('_', '-')}": v for k, v in annotations.items()}
    return policy_of(Revision(metadata=ObjectMeta(annotations=notes), spec=RevisionSpec(container_concurrency=concurrency)), Settings())


def test_without_annotations_the_defaults_are_knatives() -> None:
    assert policy() == Policy()
    assert policy(None) == Policy()


@pytest.mark.parametrize(
    ("concurrency", "annotations", "target", "capacity"),
    [
        (0, {}, 70, 100),
        (10, {}, 7, 10),
        (10, {"target": "5"}, 3.5, 10),
        (10, {"target": "50"}, 7, 10),
        (0, {"target": "50.000000"}, 35, 50),
        (1, {"target_utilization_percentage": "100"}, 1, 1),
        (0, {"target": "0.01"}, 0.01, 0.01),
        (0, {"metric": "rps"}, 140, 200),
        (5, {"metric": "rps", "target": "10"}, 7, 5),
    ],
)
def test_the_target_is_the_total_times_the_utilization(
    concurrency: int, annotations: dict[str, str], target: float, capacity: float
) -> None:
    got = policy(concurrency, **annotations)
    assert (got.target, got.capacity) == (pytest.approx(target), capacity)


def test_windows_bounds_and_times_are_read_in_either_spelling() -> None:
    got = policy(window="30s", panic_window_percentage="20.0", panic_threshold_percentage="150", minScale="1", maxScale="9",
                 initial_scale="4", activation_scale="2", scale_down_delay="1m", scale_to_zero_pod_retention_period="45s")  # fmt: skip
    assert (got.stable_window, got.panic_window, got.panic_threshold) == (30, 6, 1.5)
    assert (got.min_scale, got.max_scale, got.initial_scale, got.activation_scale) == (1, 9, 4, 2)
    assert (got.scale_down_delay, got.zero_hold) == (60, 45)


def test_a_panic_window_has_at_least_a_second() -> None:
    assert policy(window="6s", panic_window_percentage="1").panic_window == 1


def test_what_cannot_be_read_counts_as_not_given() -> None:
    assert policy(target="many", window="soon", min_scale="-1", panic_threshold_percentage="nan") == Policy()


def test_the_progress_deadline_comes_from_its_annotation() -> None:
    notes = {"serving.knative.dev/progress-deadline": "5m"}
    assert policy_of(Revision(metadata=ObjectMeta(annotations=notes)), Settings()).progress_deadline == 300
