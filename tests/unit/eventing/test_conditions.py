"""Conditions: Ready follows the others, and a time changes only with its status."""

from eventing.conditions import false, merged, true, unknown


def ready(*wanted: object) -> tuple[str, str]:
    return next((c.status, c.reason) for c in merged((), wanted, "now") if c.type == "Ready")  # type: ignore[arg-type]


def test_ready_is_the_worst_of_all() -> None:
    assert ready(true("A"), true("B")) == ("True", "")
    assert ready(true("A"), unknown("B", "Wait", "")) == ("Unknown", "Wait")
    assert ready(unknown("A", "Wait", ""), false("B", "Broken", "")) == ("False", "Broken")


def test_a_time_changes_only_when_the_status_does() -> None:
    first = merged((), [true("A"), false("B", "x", "")], "t1")
    second = merged(first, [true("A"), false("B", "other reason", "")], "t2")
    third = merged(second, [true("A"), true("B")], "t3")
    assert {c.last_transition_time for c in second} == {"t1"}
    assert {c.type: c.last_transition_time for c in third} == {"A": "t1", "B": "t3", "Ready": "t3"}
