"""The words of an expression, each with its place."""

import re
from dataclasses import dataclass

from kfn.cesql.values import ParseError

KEYWORDS = frozenset(("AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"))

# Each character of a literal can be read in one way only, so that a missing quote costs one pass and not more.
_TOKEN = re.compile(
    r"""[ \t\r\n]+
    | (?P<string> ' (?: [^'\\] | \\. )* ' | " (?: [^"\\] | \\. )* " )
    | (?P<word> [A-Za-z0-9_]+ )
    | (?P<symbol> != | <> | <= | >= | [-+*/%=<>(),] )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is string, integer, word, end, or the keyword or symbol itself; `text` is as written, of a string what it means."""

    kind: str
    text: str
    at: int
    end: int


def tokens(text: str) -> list[Token]:
    """Ends with one of kind `end`. Raises `ParseError`."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ParseError(_complaint(text[at]), text, at)
        if match.lastgroup:
            found.append(_token(match, match.lastgroup))
        at = match.end()
    return [*found, Token("end", "the end", len(text), len(text))]


def _token(match: re.Match[str], group: str) -> Token:
    text, at, end = match[0], match.start(), match.end()
    if group == "string":
        return Token("string", text[1:-1].replace("\\" + text[0], text[0]), at, end)
    if group == "word":
        keyword = text.upper()
        return Token("integer" if text.isdigit() else keyword if keyword in KEYWORDS else "word", text, at, end)
    return Token(text, text, at, end)


def _complaint(character: str) -> str:
    if character in "'\"":
        return f"the literal that begins here does not end; close it with {character}"
    if character in "‘’“”":
        return f"{character} is a typographic quote; write ' or \""
    return f"{character!r} is no part of an expression"
