"""Which events a Trigger wants."""

from typing import Any

import pytest

from eventing import match
from kfn.api.eventing import TriggerFilter, TriggerSpec

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop/eu", "type": "order.created", "subject": "", "priority": "high"}


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        pytest.param([{"exact": {"type": "order.created"}}], True, id="exact"),
        pytest.param([{"exact": {"type": "order.created", "source": "/else"}}], False, id="exact-needs-all-of-its-attributes"),
        pytest.param([{"exact": {"missing": "x"}}], False, id="an-absent-attribute-passes-nothing"),
        pytest.param([{"prefix": {"source": "/shop"}}], True, id="prefix"),
        pytest.param([{"prefix": {"source": "shop"}}], False, id="prefix-is-at-the-start"),
        pytest.param([{"suffix": {"source": "/eu"}}], True, id="suffix"),
        pytest.param([{"suffix": {"source": "/us"}}], False, id="other-suffix"),
        pytest.param([{"not": {"exact": {"type": "order.deleted"}}}], True, id="not"),
        pytest.param([{"not": {"exact": {"missing": "x"}}}], True, id="not-of-an-absent-attribute"),
        pytest.param([{"any": [{"exact": {"type": "x"}}, {"suffix": {"type": "created"}}]}], True, id="any"),
        pytest.param([{"any": [{"exact": {"type": "x"}}, {"exact": {"type": "y"}}]}], False, id="any-of-none"),
        pytest.param([{"all": [{"prefix": {"type": "order"}}, {"exact": {"priority": "high"}}]}], True, id="all"),
        pytest.param([{"all": [{"prefix": {"type": "order"}}, {"exact": {"priority": "low"}}]}], False, id="all-but-one"),
        pytest.param([{"prefix": {"type": "order"}}, {"exact": {"priority": "low"}}], False, id="the-list-is-joined-by-and"),
        pytest.param([{"cesql": "type LIKE 'order.%' AND priority IN ('high', 'urgent')"}], True, id="cesql"),
        pytest.param([{"cesql": "priority = 'low'"}], False, id="cesql-that-is-false"),
        pytest.param([{"cesql": "missing = 'x'"}], False, id="cesql-that-fails-passes-nothing"),
        pytest.param([{"not": {"cesql": "missing = 'x'"}}], True, id="not-of-a-cesql-that-fails"),
        pytest.param([{"exact": {"type": "order.created"}}, {"cesql": "priority = 'high'"}], True, id="cesql-beside-another"),
        pytest.param([{"not": {"any": [{"not": {"prefix": {"type": "o"}}}]}}], True, id="nested"),
    ],
)
def test_filters(filters: list[dict[str, Any]], passes: bool) -> None:
    assert match.matches(match.parse(TriggerSpec(filters=filters)), EVENT) is passes


@pytest.mark.parametrize(
    ("attributes", "passes"),
    [
        ({}, True),
        ({"type": "order.created"}, True),
        ({"type": "x"}, False),
        ({"priority": ""}, True),
        ({"subject": ""}, False),
        ({"nothere": ""}, False),
    ],
)
def test_filter_attributes_where_an_empty_value_means_present(attributes: dict[str, str], passes: bool) -> None:
    assert match.matches(match.parse(TriggerSpec(filter=TriggerFilter(attributes))), EVENT) is passes


def test_filters_take_precedence_over_filter() -> None:
    spec = TriggerSpec(filter=TriggerFilter({"type": "x"}), filters=[{"exact": {"type": "order.created"}}])
    assert match.matches(match.parse(spec), EVENT)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([{"cesql": "type LIKE subject"}], r"spec.filters\[0\].cesql: column 11: expected a pattern"),
        ([{"any": [{"cesql": 5}]}], r"spec.filters\[0\].any\[0\].cesql: must be an expression"),
        ([{"exact": {"type": "a"}}, {"exact": {"type": "a"}, "prefix": {"type": "b"}}], r"spec.filters\[1\]: must have exactly one"),
        ([{}], "exactly one of"),
        ([{"regex": {"type": "a"}}], "unknown dialect"),
        ([{"any": [{"exact": {"Type": "a"}}]}], r"spec.filters\[0\].any\[0\].exact: 'Type' is not an attribute name"),
        ([{"exact": {"type": ""}}], "non-empty strings"),
        ([{"exact": {}}], "non-empty strings"),
        ([{"all": []}], "at least one filter"),
        ([{"not": {"cesql": "x"}}], r"spec.filters\[0\].not.cesql"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_path(filters: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(match.FilterError, match=words):
        match.parse(TriggerSpec(filters=filters))


@pytest.mark.parametrize(
    ("filters", "types"),
    [
        ([{"exact": {"type": "a", "source": "b"}}], {"a"}),
        ([{"cesql": "type = 'a' AND source LIKE '/b%'"}], {"a"}),
        ([{"exact": {"type": "a"}}, {"cesql": "type IN ('a', 'b')"}], {"a"}),
        ([{"not": {"cesql": "type = 'a'"}}], None),
        ([{"any": [{"exact": {"type": "a"}}, {"exact": {"type": "b"}}]}], {"a", "b"}),
        ([{"any": [{"exact": {"type": "a"}}, {"prefix": {"type": "b"}}]}], None),
        ([{"prefix": {"type": "a"}}], None),
        ([{"not": {"exact": {"type": "a"}}}], None),
        ([{"any": [{"exact": {"type": "a"}}, {"exact": {"type": "b"}}]}, {"exact": {"type": "b"}}], {"b"}),
        ([{"exact": {"type": "a"}}, {"exact": {"type": "b"}}], None),
        ([{"any": [{"exact": {"type": str(n)}} for n in range(40)]}], None),
    ],
)
def test_the_types_that_the_server_is_asked_for(filters: list[dict[str, Any]], types: set[str] | None) -> None:
    found = match.types(match.parse(TriggerSpec(filters=filters)))
    assert found == (None if types is None else frozenset(types))


def test_a_failed_expression_is_told_once_an_event() -> None:
    told: list[str] = []
    filter = match.parse(TriggerSpec(filters=[{"any": [{"cesql": "size > 5"}, {"cesql": "missing = 1"}]}]))
    assert not match.matches(filter, {**EVENT, "size": "big"}, lambda error: told.append(error.kind))
    assert told == ["cast", "missingAttribute"]


def test_two_parses_of_one_expression_are_equal_so_that_a_dispatcher_goes_on() -> None:
    spec = TriggerSpec(filters=[{"cesql": "size > 5"}])
    assert match.parse(spec) == match.parse(spec)
