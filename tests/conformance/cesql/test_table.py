"""CloudEvents SQL: the compatibility kit's cases (tck.yaml), and rows of our own for what the kit leaves out."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kfn import cesql

TCK = yaml.safe_load((Path(__file__).parent / "tck.yaml").read_text())
EVENT = {"specversion": "1.0", "id": "myId", "source": "localhost", "type": "myType"}


def outcome(expression: str, **more: Any) -> tuple[Any, str | None]:
    found = cesql.compile(expression).evaluate({**EVENT, **more})
    return found.value, found.error.kind if found.error else None


class TestTheCompatibilityKit:
    @pytest.mark.parametrize("row", [pytest.param(row, id=f"{g}: {row['expression']}") for g, rows in TCK.items() for row in rows])
    def test_gives_what_the_kit_expects(self, row: dict[str, Any]) -> None:
        if row.get("error") == "parse":
            with pytest.raises(cesql.ParseError):
                cesql.compile(row["expression"])
            return
        value, error = outcome(row["expression"], **row.get("event", {}))
        assert (value, type(value), error) == (row["result"], type(row["result"]), row.get("error"))

    def test_is_there_whole(self) -> None:
        assert (len(TCK), sum(len(rows) for rows in TCK.values())) == (18, 272)


OURS: dict[str, list[tuple[str, Any, str | None]]] = {
    "integers-have-32-bits": [
        ("2147483647", 2147483647, None),
        ("-2147483648", -2147483648, None),
        ("2147483647 + 1", 0, "math"),
        ("-2147483648 - 1", 0, "math"),
        ("65536 * 65536", 0, "math"),
        ("-2147483648 / -1", 0, "math"),
        ("-2147483648 % -1", 0, None),
        ("- -2147483648", 0, "math"),
        ("INT('2147483647')", 2147483647, None),
        ("INT('2147483648')", 0, "cast"),
        ("INT('-2147483648')", -2147483648, None),
        ("INT('99999999999999999999999999')", 0, "cast"),
        ("(2147483647 + 1) = 0", False, "math"),
    ],
    "strings-become-integers-by-digits-only": [
        ("INT('+5')", 5, None),
        ("INT('007')", 7, None),
        ("INT('')", 0, "cast"),
        ("INT('-')", 0, "cast"),
        ("INT(' 5')", 0, "cast"),
        ("INT('1_000')", 0, "cast"),
        ("INT('1.0')", 0, "cast"),
        ("INT('٣')", 0, "cast"),
    ],
    "division-rounds-towards-zero": [
        ("-5 / 3", -1, None),
        ("5 / -3", -1, None),
        ("-5 % 3", -2, None),
        ("5 % -3", 2, None),
    ],
    "precedence": [
        ("2 + 3 * 4 - 6 / 2", 11, None),
        ("10 - 4 - 3", 3, None),
        ("100 / 10 / 2", 5, None),
        ("7 % 4 * 2", 6, None),
        ("1 + 1 = 2 AND 3 > 2", True, None),
        ("NOT FALSE = FALSE", False, None),  # (NOT FALSE) = FALSE
        ("NOT 'a' LIKE 'a'", False, "cast"),  # (NOT 'a') LIKE 'a'
        ("- 2 + 3", 1, None),
        ("1 + '5' LIKE '_'", 2, None),  # 1 + ('5' LIKE '_')
        ("2 * 3 IN (3)", 2, None),  # 2 * (3 IN (3))
        ("TRUE = 'a' LIKE 'a'", True, None),
        ("NOT EXISTS nothing AND TRUE", True, None),
        ("FALSE AND FALSE OR TRUE", True, None),  # from the left, as equals
        ("TRUE OR TRUE AND FALSE", False, None),
        ("TRUE XOR TRUE XOR TRUE", True, None),
        ("4-1", 3, None),
        ("4 -1", 3, None),
        ("4 - -1", 5, None),
        ("'a' LIKE 'a' NOT IN (FALSE)", True, None),
    ],
    "short-circuit": [
        ("FALSE AND missing = 1", False, None),
        ("TRUE OR missing = 1", True, None),
        ("FALSE OR TRUE OR missing = 1", True, None),
        ("TRUE AND FALSE AND missing = 1", False, None),
        ("TRUE XOR missing = 1", False, "missingAttribute"),
    ],
    "literals": [
        ("true", True, None),
        ("false", False, None),
        ("''", "", None),
        ('""', "", None),
        (r"'it\'s'", "it's", None),
        (r'"say \"x\""', 'say "x"', None),
        (r"'a\"b'", 'a\\"b', None),  # only its own quote is escaped
        (r"'c:\\dir'", "c:\\\\dir", None),
        ("+5", 5, None),
        ("'ü € 🎉'", "ü € 🎉", None),
        ("'two\nlines'", "two\nlines", None),
    ],
    "like": [
        ("'' LIKE ''", True, None),
        ("'' LIKE '%'", True, None),
        ("'' LIKE '_'", False, None),
        ("'a' LIKE '%%%'", True, None),
        ("'abab' LIKE '%ab'", True, None),
        ("'ab' LIKE 'ab%ab'", False, None),
        ("'abXab' LIKE 'ab%ab'", True, None),
        ("'aXbXc' LIKE 'a%X%c'", True, None),
        ("'abc' LIKE '%b'", False, None),
        ("'🎉' LIKE '_'", True, None),
        ("'a\nb' LIKE 'a_b'", True, None),
        ("'a\nb' LIKE 'a%b'", True, None),
        ("'a.c' LIKE 'a.c'", True, None),
        ("'abc' LIKE 'a.c'", False, None),
        ("'xaybz' LIKE '%a_b%'", True, None),
        ("'xabz' LIKE '%a_b%'", False, None),
        ("'aab' LIKE '_a%a_'", False, None),
        ("'aaab' LIKE '_a%a_'", True, None),
        ("'ABC' LIKE 'abc'", False, None),
        (r"'100%' LIKE '%\%'", True, None),
        (r"'a\b' LIKE '%\b'", True, None),
        (r"'1000' LIKE '%\%'", False, None),
    ],
    "in": [
        ("1 IN (2, 'x', 1)", False, "cast"),
        ("1 IN (1, 'x')", True, None),
        ("1 IN (2, missing)", False, "missingAttribute"),
        ("missing IN (1)", False, "missingAttribute"),
        ("missing NOT IN (1)", False, "missingAttribute"),
        ("TRUE IN (0, 5)", True, None),
        ("'b' IN ('a', CONCAT('b'))", True, None),
    ],
    "functions": [
        ("length('ü€🎉')", 3, None),
        ("CONCAT(1, TRUE, 'x')", "1truex", None),
        ("CONCAT_WS('-', 1, 2)", "1-2", None),
        ("UPPER('straße')", "STRASSE", None),
        ("TRIM('\u3000 a \u2028')", "a", None),
        ("LENGTH(TRIM('\x1c'))", 1, None),
        ("LEFT('abc', 0)", "", None),
        ("RIGHT('abc', 0)", "", None),
        ("RIGHT('abc', 3)", "abc", None),
        ("SUBSTRING('abc', 3)", "c", None),
        ("SUBSTRING('abc', 4)", "", "functionEvaluation"),
        ("SUBSTRING('abc', -3, 2)", "ab", None),
        ("SUBSTRING('abc', 2, 0)", "", None),
        ("SUBSTRING('abc', 2, -1)", "", "functionEvaluation"),
        ("SUBSTRING('abc', '2', '1')", "b", None),
        ("LEFT('abc', 'x')", "", "cast"),
        ("LENGTH(LEFT('abc', -1))", 0, "functionEvaluation"),
        ("IS_INT('12')", True, None),
        ("IS_INT('x')", False, None),
        ("IS_INT(TRUE)", True, None),
        ("IS_BOOL('TRUE')", True, None),
        ("IS_BOOL('yes')", False, None),
        ("IS_BOOL(3)", True, None),
        ("IS_INT(missing)", False, "missingAttribute"),
        ("NOSUCH(missing)", False, "missingFunction"),
        ("ABS()", False, "missingFunction"),
        ("LENGTH('a', 'b')", False, "missingFunction"),
    ],
    "casts-of-equality-follow-the-right-operand": [
        ("'5' = 5", True, None),
        ("5 = '05'", False, None),
        ("'05' = 5", True, None),
        ("'x' = 5", False, "cast"),
        ("TRUE = 1", True, None),
        ("2 = TRUE", True, None),
        ("'true' = TRUE", True, None),
        ("'yes' != TRUE", False, "cast"),
        ("ID = 'myId'", True, None),
        ("id = source", False, None),
        ("'abc' < 5", False, "cast"),
        ("TRUE < 2", True, None),
    ],
}


class TestWhatTheKitLeavesOut:
    @pytest.mark.parametrize(
        ("expression", "value", "error"), [pytest.param(*row, id=f"{g}: {row[0]!a}") for g, rows in OURS.items() for row in rows]
    )
    def test_gives_what_the_specification_says(self, expression: str, value: Any, error: str | None) -> None:
        found, kind = outcome(expression)
        assert (found, type(found), kind) == (value, type(value), error)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "column 1: missing"),
        ("   ", "column 4: missing"),
        ("type =", r"column 7: expected an attribute, a literal or '\(', found the end"),
        ("type == 'a'", "column 7: expected an attribute"),
        ("type = 'a", "column 8: the literal that begins here does not end"),
        ("type = 'a''b'", r"column 11: a quote inside a literal is written \\'"),
        ("type = ‘a’", "typographic"),
        ("type = 'a' subject = 'b'", "column 12: expected AND, OR or another operator, found subject"),
        ("type LIKE subject", "column 11: expected a pattern in quotes after LIKE, found subject"),
        ("type NOT = 'a'", "column 6: NOT stands between two operands"),
        ("type IN ()", "column 10: a set needs at least one element"),
        ("type IN 'a'", "after IN, found a literal"),
        ("EXISTS 'a'", "column 8: expected an attribute's name after EXISTS"),
        ("EXISTS", "found the end"),
        ("(type = 'a'", "column 12: expected '\\)'"),
        ("type = 'a')", "column 11: expected AND"),
        ("my_ext = 1", "column 1: my_ext is no attribute's name"),
        ("F1(type)", "column 1: F1 is no function's name"),
        ("size > 2147483648", "column 8: 2147483648 is no integer of 32 bits"),
        ("size < - 2147483648", "column 10: 2147483648 is no integer of 32 bits"),
        ("a.b = 'c'", "column 2: '.' is no part of an expression"),
        ("type = 'a'; id = 'b'", "';' is no part"),
        ("type = 'a' AND\n  size >", "line 2, column 9: expected an attribute"),
        ("a = AND", "found AND"),
        ("LEFT('a',)", "found \\)"),
        ("a" * 5000, "the expression has 5,000 characters; 4,096 are allowed"),
        ("(" * 70 + "TRUE" + ")" * 70, "nested more than 64 deep"),
        ("NOT " * 70 + "TRUE", "nested more than 64 deep"),
        ("1" + " + 1" * 70 + " = 1", "nested more than 64 deep"),
    ],
    ids=range(29),
)
def test_a_wrong_expression_is_refused_with_its_place(expression: str, words: str) -> None:
    with pytest.raises(cesql.ParseError, match=words):
        cesql.compile(expression)
