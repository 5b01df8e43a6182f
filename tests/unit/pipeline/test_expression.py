"""Expressions: what they read, what they give, and what they may not take."""

import subprocess
import sys
from typing import Any

import pytest

from kfn.pipeline.bounds import TooMuch, reckon
from kfn.pipeline.expression import BadExpression, EvaluationError, parse


def value(text: str, **given: Any) -> Any:
    return parse(text, "spec.x").evaluate(given)


class TestNames:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("a.b + c['d'] > e[f].g && has(h.i) ? j : k", "acefhjk"),
            ("a.map(x, x.b + c).filter(y, y > 1)", "ac"),
            ("a.exists(b, b > 1) && b", "ab"),
            ("'c' + a // b", "a"),
            ("'ERROR: <input>:1:1: undeclared reference to \\'zz\\'' + a", "a"),
            ("a +\n b.?c.orValue(1)", "ab"),
            ("1 + 2", ""),
        ],
    )
    def test_are_those_that_an_expression_reads_and_does_not_bind_itself(self, text: str, names: str) -> None:
        assert parse(text, "spec.x").names == frozenset(names)


class TestAValue:
    @pytest.mark.parametrize(
        ("text", "given", "result"),
        [
            ("a.n > 1000", {"a": {"n": 1000.5}}, True),
            ("a.map(x, x.n * 2)", {"a": [{"n": 1}, {"n": 2}]}, [2, 4]),
            ("{'x': a, 'y': [null, true, 'z', 1.5]}", {"a": {"b": [None]}}, {"x": {"b": [None]}, "y": [None, True, "z", 1.5]}),
            ("timestamp(a) + duration('1h')", {"a": "2026-01-01T00:00:00Z"}, "2026-01-01T01:00:00Z"),
            ("duration('90s')", {}, "90s"),
            ("a.?b.?c.orValue('none')", {"a": {}}, "none"),
            ("a == {} ? 0 : a", {"a": {}}, 0),
        ],
    )
    def test_is_json(self, text: str, given: dict[str, Any], result: Any) -> None:
        assert value(text, **given) == result

    @pytest.mark.parametrize(
        ("text", "given", "said"),
        [
            ("a.b", {"a": {}}, "spec.x: a.b: there is no 'b'; has(...)"),
            ("a > 1", {"a": "x"}, "'>' takes no (string, int64); int(...)"),
            ("a / 0", {"a": 1}, "divide by zero"),
            ("a[3]", {"a": []}, "index=3"),
            ("a + 1", {"a": 2**63 - 1}, "overflow"),
            ("a == 1", {"a": 2**70}, "out of range"),
            ("1.0 / 0.0", {}, "JSON does not know"),
            ("b'x'", {}, "JSON does not know"),
            ("{1: 2}", {}, "is no string"),
            ("a.?b", {"a": {}}, ".orValue"),
            ("a.map(x, a.map(y, y))", {"a": list(range(150))}, "more than 10000 items"),
        ],
    )
    def test_that_is_not_there_is_told_with_the_place(self, text: str, given: dict[str, Any], said: str) -> None:
        with pytest.raises(EvaluationError) as caught:
            value(text, **given)
        assert said in str(caught.value)

    def test_is_true_or_false_where_it_is_a_condition(self) -> None:
        assert parse("a.ok", "spec.x").truth({"a": {"ok": True}})
        with pytest.raises(EvaluationError, match="not true or false"):
            parse("a.ok", "spec.x").truth({"a": {"ok": 1}})


class TestBounds:
    @pytest.mark.parametrize(
        ("text", "given"),
        [
            ("a.map(x, b + b)", {"a": [0] * 2000, "b": "x" * 100_000}),
            ("a" + ".map(x, [x + x])" * 20, {"a": ["x" * 1000]}),
            ("[a]" + ".map(x, x + x)" * 20, {"a": "x" * 1000}),
            ("a.map(x, a + a)", {"a": [0] * 3000}),
            ("a.map(x, x)", {"a": [0] * 9000}),
            ("a.map(x, ')' + '\\')' + r'a' + a.map(y, a.map(z, b + b))[0][0])", {"a": [0] * 20, "b": "x" * 9000}),
        ],
    )
    def test_what_could_fill_the_memory_is_not_evaluated(self, text: str, given: dict[str, Any]) -> None:
        with pytest.raises(EvaluationError, match="could take more than 128 MiB"):
            value(text, **given)

    @pytest.mark.parametrize(
        ("text", "given"),
        [
            ("a.map(x, x.name + '-' + string(x.n))", {"a": [{"name": "page", "n": i} for i in range(1000)]}),
            ("a.filter(x, x.n > 1).map(x, x.n + 1)", {"a": [{"n": i} for i in range(1000)]}),
            ("a.map(x, x.b.map(y, y + 1))", {"a": [{"b": [1] * 20}] * 20}),
            ("a + b + '-' + b", {"a": "x" * 500_000, "b": "y" * 500_000}),
            ("a + a", {"a": [1] * 10_000}),
        ],
    )
    def test_what_people_write_is(self, text: str, given: dict[str, Any]) -> None:
        assert value(text, **given)

    def test_a_result_that_is_too_large_is_refused(self) -> None:
        with pytest.raises(EvaluationError, match="larger than 4 MiB"):
            value("[a, a, a]", a="x" * 2_000_000)

    @pytest.mark.parametrize(
        "text", ["", " ", "a" * 5000, "(" * 40 + "1" + ")" * 40, "a ?? 1", "a..b", "foo(a)", "a.foo()", "'x' + 1", "'\ud800'", "\x00"]
    )
    def test_no_expression_is_refused_as_such(self, text: str) -> None:
        with pytest.raises(BadExpression):
            parse(text, "spec.x")

    def test_a_bracket_in_a_text_hides_no_macro(self) -> None:
        with pytest.raises(TooMuch):
            reckon("""a.map(x, ")" == 'b' && a.map(y, "'" + r"a" == '"' && a.map(z, z + b)))""", [[0] * 30, "x" * 9000])


def test_the_command_line_starts_without_the_library() -> None:
    code = "import sys, cli.main, kfn.api.admission; assert not [m for m in sys.modules if m.startswith('cel_expr')]"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
