"""Turns between people's requests and events that wait for one revision."""

import pytest

from gateway import policy
from gateway.policy import EVENT_WEIGHT
from gateway.waiting import EVENTS, HTTP, Waiting
from kfn.api import annotations, names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision


def line(http: int = 0, events: int = 0) -> Waiting[str]:
    waiting: Waiting[str] = Waiting()
    for n in range(max(http, events)):
        if n < events:
            waiting.join(f"e{n}", float(n), event=True)
        if n < http:
            waiting.join(f"h{n}", float(n), event=False)
    return waiting


def turns(waiting: Waiting[str], count: int, weight: int = EVENT_WEIGHT) -> str:
    return "".join(waiting.pop(weight, 0.0)[0] for _ in range(count))


class TestTurns:
    def test_four_requests_to_an_event_while_both_wait(self) -> None:
        whole = turns(line(400, 400), 400)
        assert whole[0] == "h"
        assert 79 <= whole.count("e") <= 81
        assert "hhhhhh" not in whole and "ee" not in whole

    @pytest.mark.parametrize(("weight", "share"), [(100, 200), (400, 320), (1, 4), (10_000, 396)])
    def test_as_the_weight_says(self, weight: int, share: int) -> None:
        assert abs(turns(line(500, 500), 400, weight).count("e") - share) <= 1

    def test_each_class_is_in_order_and_all_places_go_to_one_that_waits_alone(self) -> None:
        waiting = line(3, 5)
        order = [waiting.pop(EVENT_WEIGHT, 0.0) for _ in range(8)]
        assert [one for one in order if one[0] == "h"] == ["h0", "h1", "h2"]
        assert [one for one in order if one[0] == "e"] == [f"e{n}" for n in range(5)]
        assert not waiting

    def test_a_backlog_of_events_stands_before_no_request(self) -> None:
        waiting = line(0, 64)
        assert turns(waiting, 10) == "e" * 10
        waiting.join("h", 0.0, event=False)
        assert waiting.pop(EVENT_WEIGHT, 0.0) == "h"
        waiting.join("h", 0.0, event=False)
        assert "h" in turns(waiting, 2), "what it had while nobody else waited is not held against it"

    def test_one_that_comes_back_is_before_the_others_of_its_class(self) -> None:
        waiting = line(2, 2)
        waiting.join("e9", 0.0, event=True, first=True)
        assert [waiting.pop(10_000, 0.0) for _ in range(2)] == ["h0", "e9"]

    def test_who_leaves_is_not_called_and_who_is_refused_is_gone(self) -> None:
        waiting = line(2, 2)
        waiting.leave("h0")
        waiting.leave("nobody")
        assert "h0" not in waiting and len(waiting) == 3
        assert sorted(waiting.clear()) == ["e0", "e1", "h1"]
        assert len(waiting) == 0

    def test_what_waited_is_counted_by_class(self) -> None:
        waiting = line(1, 2)
        for _ in range(3):
            waiting.pop(EVENT_WEIGHT, 5.0)
        assert waiting.went == {HTTP: 1, EVENTS: 2}
        assert waiting.seconds == {HTTP: 5.0, EVENTS: 9.0}


class TestTheAnnotation:
    def test_is_read_from_the_revision(self) -> None:
        assert policy.of(Revision(metadata=ObjectMeta(annotations={names.EVENT_WEIGHT: "300"}))).event_weight == 300
        assert policy.of(Revision()).event_weight == EVENT_WEIGHT

    @pytest.mark.parametrize("wrong", ["0", "-1", "half", "", "10001", "1.5"])
    def test_is_refused_with_its_place_when_it_is_no_weight(self, wrong: str) -> None:
        (error,) = annotations.validate_template({names.EVENT_WEIGHT: wrong}, "spec.template.metadata.annotations")
        assert "spec.template.metadata.annotations[kfn.dev/event-weight]" in str(error)
        assert policy.of(Revision(metadata=ObjectMeta(annotations={names.EVENT_WEIGHT: wrong}))).event_weight == EVENT_WEIGHT

    def test_of_a_right_weight_nothing_is_said(self) -> None:
        assert annotations.validate_template({names.EVENT_WEIGHT: "400"}, "x") == []
