"""Names on the bus never meet, whatever they are made of."""

import itertools
import re

from eventing import subjects
from eventing.streams import changes

NASTY = [
    "a",
    "A",
    "a.b",
    "a-b",
    "a_b",
    "a%b",
    "a%2Eb",
    "a b",
    "*",
    ">",
    "a*",
    "ä",
    "",
    "x" * 300,
    "x" * 301,
    ".",
    "..",
    "dlq",
    "ev",
    "~",
    "\x00",
]


def test_distinct_values_give_distinct_tokens() -> None:
    tokens = [subjects.token(value) for value in NASTY if value]
    assert len(set(tokens)) == len(tokens)
    assert all(re.fullmatch(r"[A-Za-z0-9_%~-]+", token) and len(token) <= 200 for token in tokens)


def test_no_two_brokers_share_a_stream_and_none_takes_the_dead_letters_of_another() -> None:
    pairs = list(itertools.product(["a", "a_b", "a-b", "DLQ", "dlq", "a.b", "b"], repeat=2))
    streams = [make(*pair) for make in (subjects.stream, subjects.dead_stream) for pair in pairs]
    assert len(set(streams)) == len(streams)


def test_an_event_goes_where_a_consumer_of_its_type_looks() -> None:
    assert subjects.event("ns", "b", "order.created") == "kfn.ns.b.ev.order%2Ecreated.-"
    assert subjects.of_types("ns", "b", frozenset({"order.created"})) == ("kfn.ns.b.ev.order%2Ecreated.*",)
    assert subjects.of_types("ns", "b", None) == ("kfn.ns.b.ev.>",)


def test_source_and_id_together_are_what_counts_once() -> None:
    assert subjects.event_id("/a", "1") == subjects.event_id("/a", "1")
    assert (
        len({subjects.event_id("/a", "1"), subjects.event_id("/b", "1"), subjects.event_id("/a", "2"), subjects.event_id("/a1", "")}) == 4
    )


def test_only_what_differs_is_changed_and_the_servers_own_metadata_is_left_alone() -> None:
    current = {"name": "s", "max_age": 1, "metadata": {"a": "b", "_nats.level": "1"}, "other": True}
    assert changes({"name": "s", "max_age": 1, "metadata": {"a": "b"}}, current) == {}
    assert changes({"name": "s", "max_age": 2, "metadata": {"a": "b"}}, current) == {"max_age": 2}
