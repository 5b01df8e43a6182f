"""The happy condition follows from the others, and times move only with changes."""

from datetime import UTC, datetime, timedelta

from kfn.api import conditions
from kfn.api.conditions import REVISION, ROUTE, SERVICE, find, is_false, is_true
from kfn.api.meta import Condition

T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1 = T0 + timedelta(seconds=10)


def status(found: list[Condition], type: str = "Ready") -> tuple[str, str, str]:
    condition = find(found, type)
    assert condition is not None
    return condition.status, condition.reason, condition.message


def test_a_new_set_is_unknown_and_sorted() -> None:
    found = SERVICE.initial([], T0)
    assert [(c.type, c.status) for c in found] == [("ConfigurationsReady", "Unknown"), ("Ready", "Unknown"), ("RoutesReady", "Unknown")]


def test_ready_when_all_dependents_are() -> None:
    found = SERVICE.mark([], "ConfigurationsReady", "True", "", "", T0)
    assert status(found)[0] == "Unknown"
    found = SERVICE.mark(found, "RoutesReady", "True", "", "", T0)
    assert is_true(found, "Ready")


def test_a_false_dependent_gives_its_reason_and_wins_over_unknown() -> None:
    found = SERVICE.mark([], "ConfigurationsReady", "Unknown", "Wait", "a while", T0)
    assert status(found) == ("Unknown", "Wait", "a while")
    found = SERVICE.mark(found, "RoutesReady", "False", "RevisionMissing", "no such revision", T0)
    assert status(found) == ("False", "RevisionMissing", "no such revision")
    assert is_false(found, "Ready")


def test_what_did_not_change_keeps_its_time() -> None:
    found = SERVICE.mark(SERVICE.mark([], "ConfigurationsReady", "True", "", "", T0), "RoutesReady", "False", "R", "m", T0)
    again = SERVICE.mark(found, "RoutesReady", "False", "R", "m", T1)
    assert again == found
    moved = SERVICE.mark(found, "RoutesReady", "True", "", "", T1)
    assert {c.type: c.last_transition_time for c in moved} == {
        "ConfigurationsReady": "2026-01-01T00:00:00Z",
        "RoutesReady": "2026-01-01T00:00:10Z",
        "Ready": "2026-01-01T00:00:10Z",
    }


def test_active_informs_and_does_not_count() -> None:
    found = REVISION.mark([], "ResourcesAvailable", "True", "", "", T0)
    found = REVISION.mark(found, "ContainerHealthy", "True", "", "", T0)
    found = REVISION.mark(found, "Active", "False", "NoTraffic", "The target is not receiving traffic.", T0)
    active = find(found, "Active")
    assert active is not None and active.severity == "Info"
    assert is_true(found, "Ready")


def test_a_missing_dependent_is_unknown() -> None:
    assert status(ROUTE.mark([], "IngressReady", "True", "", "", T0))[0] == "Unknown"


def test_the_happy_condition_of_a_set_without_dependents_is_marked_itself() -> None:
    found = conditions.CONFIGURATION.mark([], "Ready", "False", "RevisionFailed", "boom", T0)
    assert status(found) == ("False", "RevisionFailed", "boom")
