"""What an expression or an event may not do: run away, grow, or leave an evaluation by another way than its error."""

import random

import pytest

from kfn import cesql
from kfn.cesql.like import compile_like
from kfn.cesql.values import STRING_MAX


def kind_of(expression: str, **attributes: str) -> str | None:
    error = cesql.compile(expression).evaluate(attributes).error
    return error.kind if error else None


class TestLike:
    def test_many_wildcards_on_a_text_that_nearly_matches_cost_one_pass(self) -> None:
        # By a regular expression this pattern would be tried in some 10^60 ways.
        pattern = "%".join("a" * 100) + "%b"
        assert cesql.compile(f"x LIKE '{pattern}'").passes({"x": "a" * STRING_MAX}) is False

    def test_a_piece_with_a_placeholder_is_bounded_by_an_error(self) -> None:
        assert kind_of(f"x LIKE '%{'a' * 1000}_b%'", x="a" * STRING_MAX) == "generic"

    def test_finds_what_trying_everything_finds(self) -> None:
        def slow(text: str, pattern: str) -> bool:
            if not pattern:
                return not text
            if pattern[0] == "%":
                return any(slow(text[i:], pattern[1:]) for i in range(len(text) + 1))
            return bool(text) and pattern[0] in ("_", text[0]) and slow(text[1:], pattern[1:])

        chance = random.Random(6)
        for _ in range(3000):
            text = "".join(chance.choices("ab", k=chance.randrange(7)))
            pattern = "".join(chance.choices("ab_%", k=chance.randrange(7)))
            assert compile_like(pattern)(text) is slow(text, pattern), (text, pattern)


class TestValues:
    def test_an_attribute_that_is_too_long_is_an_error(self) -> None:
        assert kind_of("LENGTH(x) > 0", x="a" * (STRING_MAX + 1)) == "generic"

    @pytest.mark.parametrize("expression", ["CONCAT(x, x)", "CONCAT_WS(x, x, x)", "UPPER(x)"])
    def test_a_string_grows_only_so_far(self, expression: str) -> None:
        assert kind_of(f"{expression} = 'a'", x="ß" * (STRING_MAX - 1)) == "functionEvaluation"

    def test_a_million_digits_cost_nothing(self) -> None:
        assert kind_of("x > 1", x="1" * 60_000) == "cast"
        assert cesql.compile("x = 1").passes({"x": "0" * 60_000 + "1"})

    def test_a_hundred_alternatives_are_no_depth(self) -> None:
        assert cesql.compile(" OR ".join(f"x = '{i}'" for i in range(300))).passes({"x": "299"})


def test_nothing_but_a_parse_error_comes_of_any_words() -> None:
    words = [
        "type",
        "'a'",
        "1",
        "-",
        "+",
        "NOT",
        "AND",
        "OR",
        "LIKE",
        "IN",
        "EXISTS",
        "(",
        ")",
        ",",
        "=",
        "<",
        "*",
        "/",
        "LEFT",
        "ABS",
        "TRUE",
        "'",
        "\\",
        "_",
    ]
    chance, understood = random.Random(7), 0
    for _ in range(20_000):
        text = " ".join(chance.choices(words, k=chance.randrange(1, 9)))
        try:
            expression = cesql.compile(text)
        except cesql.ParseError:
            continue
        understood += 1
        outcome = expression.evaluate({"type": "a"})
        assert type(outcome.value) in (bool, int, str), text
    assert understood > 100


class TestAFilter:
    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("LENGTHS(type) > 1", "column 1: there is no function LENGTHS; there are ABS, LENGTH,"),
            ("LEFT(type) = 'a'", "LEFT takes 2 arguments, not 1"),
            ("SUBSTRING(type) = 'a'", "SUBSTRING takes 2 or 3 arguments, not 1"),
            ("CONCAT_WS() = 'a'", "CONCAT_WS takes 1 or more arguments, not 0"),
            ("priority", r"column 1: an attribute is a String and never true; write BOOL\(priority\), or EXISTS priority"),
            ("1 + 1", "column 3: the whole is an Integer"),
            ("LOWER(type)", "the whole is a String"),
            ("a = 1 AND b = 2 OR c = 3", "column 17: OR beside another of AND, OR, XOR can be read in two ways"),
            ("TRUE AND (a = 1 OR b = 1 XOR c = 2)", "column 26: XOR beside"),
        ],
    )
    def test_that_could_never_pass_or_be_meant_in_two_ways_is_refused(self, expression: str, words: str) -> None:
        cesql.compile(expression)  # it is an expression
        with pytest.raises(cesql.ParseError, match=words):
            cesql.filter(expression)

    @pytest.mark.parametrize(
        "expression", ["a = 1 OR (b = 2 AND c = 3)", "(a = 1 OR b = 2) AND c = 3", "a = 1 AND b = 2 AND NOT EXISTS c", "BOOL(flag)", "TRUE"]
    )
    def test_that_can_be_meant_in_one_way_is_taken(self, expression: str) -> None:
        cesql.filter(expression)


@pytest.mark.parametrize(
    ("expression", "types"),
    [
        ("type = 'a'", {"a"}),
        ("'a' = type", {"a"}),
        ("type IN ('a', 'b')", {"a", "b"}),
        ("type = 'a' AND subject LIKE 'x%'", {"a"}),
        ("type = 'a' OR type = 'b'", {"a", "b"}),
        ("type IN ('a', 'b') AND type IN ('b', 'c')", {"b"}),
        ("(type = 'a' AND x = 1) OR (type = 'b' AND x = 2)", {"a", "b"}),
        ("type = 'a' OR subject = 'b'", None),
        ("type NOT IN ('a')", None),
        ("type != 'a'", None),
        ("NOT (type = 'a')", None),
        ("type = 'a' XOR type = 'b'", None),
        ("type LIKE 'a'", None),
        ("type = 5", None),  # '05' is 5 too
        ("type = subject", None),
        ("type IN ('a', subject)", None),
    ],
)
def test_what_the_server_may_leave_out(expression: str, types: set[str] | None) -> None:
    assert cesql.only(cesql.parse(expression), "type") == types
