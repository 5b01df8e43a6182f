"""Lines of events by key, and the annotations that ask for them."""

from dataclasses import dataclass
from random import Random

import pytest

from eventing import ordering, streams
from eventing.lines import Lines
from eventing.settings import Settings

OURS, KAFKAS = "eventing.kfn.dev/ordering", "kafka.eventing.knative.dev/delivery.order"


@dataclass(frozen=True)
class One:
    sequence: int


class TestLines:
    def test_each_key_goes_on_in_the_order_of_sequences_however_they_came(self) -> None:
        lines: Lines[One] = Lines()
        numbers = list(range(40))
        Random(7).shuffle(numbers)
        for number in numbers:
            lines.add(number % 3, One(number))
        for key in range(3):
            seen = []
            while (one := lines.first(key)) is not None:
                seen.append(one.sequence)
                lines.remove(key, one)
            assert seen == sorted(n for n in range(40) if n % 3 == key)
        assert list(lines.all()) == []

    def test_one_that_comes_late_but_was_stored_first_goes_before_those_that_wait(self) -> None:
        lines: Lines[One] = Lines()
        lines.add("k", One(5))
        lines.add("k", One(3))
        assert lines.first("k") == One(3)

    def test_a_line_that_is_empty_is_forgotten(self) -> None:
        lines: Lines[One] = Lines()
        lines.add("k", One(1))
        lines.remove("k", One(1))
        lines.remove("k", One(1))
        assert lines.first("k") is None
        assert lines.length("k") == 0


class TestAnnotations:
    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            ({}, False),
            ({OURS: "partitionkey"}, True),
            ({OURS: "none"}, False),
            ({KAFKAS: "ordered"}, True),
            ({KAFKAS: "unordered"}, False),
            ({OURS: "none", KAFKAS: "ordered"}, False),
        ],
    )
    def test_either_word_asks_for_order_and_ours_comes_first(self, given: dict[str, str], wanted: bool) -> None:
        assert ordering.wanted(given) is wanted

    @pytest.mark.parametrize("given", [{OURS: "yes"}, {KAFKAS: "true"}])
    def test_anything_else_is_refused_and_named(self, given: dict[str, str]) -> None:
        with pytest.raises(ordering.OrderingError, match=next(iter(given))):
            ordering.wanted(given)

    def test_an_ordered_consumer_is_pinned_for_less_than_what_is_in_work_is_kept_from_others(self) -> None:
        config = streams.consumer(Settings(), "u", ("a",), "n/t", ordered=True)
        assert config["priority_policy"] == "pinned_client"
        assert config["priority_timeout"] < config["ack_wait"] * 2 / 3
        assert streams.consumer(Settings(), "u", ("a",), "n/t")["priority_policy"] is None
