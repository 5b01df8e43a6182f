"""One ignore file, as git reads it: which of its patterns speaks last of one entry of a folder. Pure.

Each pattern is asked about the entry itself, never about what lies below it: whoever walks does not enter an ignored folder, and so nothing
below one can come back, as in git. (A library that judges whole paths lets `!a/` bring back everything in `a`.) Names are compared byte by
byte. A `*` takes the shortest match that can work and never tries another, so that no pattern can take exponential time.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_SPECIAL = re.compile(r"[*?\[\\]")
_CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha, "digit": str.isdigit, "alnum": str.isalnum, "upper": str.isupper, "lower": str.islower, "space": str.isspace,
    "blank": lambda c: c in " \t", "cntrl": lambda c: ord(c) < 32 or ord(c) == 127, "print": lambda c: 32 <= ord(c) < 127,
    "graph": lambda c: 33 <= ord(c) < 127, "punct": lambda c: 33 <= ord(c) < 127 and not c.isalnum(),
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}  # fmt: skip
_ASCII = [chr(n) for n in range(128)]
_BYTES = [chr(n) for n in range(256)]
_STAR, _DEEP = "*", "**"  # tokens beside finished pieces of a regular expression
_NO_SLASH = "[^/]"
_Expression = re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Patterns:
    """The patterns of one file in the folder `base` (empty, or ending in `/`)."""

    base: str = ""
    names: dict[str, tuple[int, int]] = field(default_factory=dict)  # whole names: the last pattern for any entry, and for a folder
    expressions: tuple[_Expression, _Expression, _Expression, _Expression] = (None, None, None, None)  # names: of files, folders; paths
    order: tuple[tuple[int, ...], ...] = ((), (), (), ())  # for each of the four, which pattern a group is
    brings_back: tuple[bool, ...] = ()

    def decide(self, path: str, name: str, folder: bool) -> bool | None:
        """Whether the entry is left out (True), brought back (False) or not spoken of. `path` is from the root, `name` its last part."""
        if not name.isascii() or not path.isascii():
            path, name = _bytes(path), _bytes(name)
        last = self.names[name][folder] if name in self.names else -1
        for which, text in ((int(folder), name), (2 + folder, path[len(self.base) :])):
            expression = self.expressions[which]
            if expression is not None and (found := expression.fullmatch(text)):
                last = max(last, self.order[which][(found.lastindex or 1) - 1])
        return None if last < 0 else not self.brings_back[last]

    def __bool__(self) -> bool:
        return bool(self.brings_back)


@dataclass(frozen=True, slots=True)
class _Pattern:
    text: str
    negated: bool
    folders: bool
    path: bool  # has a slash: for the whole path, not for the name


def patterns(lines: Iterable[str], base: str = "") -> Patterns:
    """`base` is the file's folder. A line that can match nothing is dropped, as git does."""
    found = [parsed for line in lines if (parsed := _parse(_bytes(line)))]
    names: dict[str, tuple[int, int]] = {}
    expressions: tuple[list[tuple[int, str]], ...] = ([], [], [], [])
    for index, one in enumerate(found):
        if not one.path and not _SPECIAL.search(one.text):
            names[one.text] = (names.get(one.text, (-1, -1))[0] if one.folders else index, index)
            continue
        if (expression := _expression(one.text, one.path)) is None:
            continue
        for place in (1,) if one.folders else (0, 1):
            expressions[2 * one.path + place].append((index, expression))
    compiled = [re.compile("|".join(f"({text})" for _, text in reversed(some)), re.DOTALL) if some else None for some in expressions]
    order = tuple(tuple(index for index, _ in reversed(some)) for some in expressions)
    return Patterns(_bytes(base), names, (compiled[0], compiled[1], compiled[2], compiled[3]), order, tuple(one.negated for one in found))


def split(data: bytes) -> list[str]:
    """The lines of an ignore file."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _bytes(text: str) -> str:
    """One character a byte, as git compares."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _parse(line: str) -> _Pattern | None:
    if not line or line.startswith("#"):
        return None
    text = _trimmed(line)
    negated = text.startswith("!")
    text = text.removeprefix("!")
    folders = text.endswith("/")
    text = text.removesuffix("/")
    path = "/" in text
    return _Pattern(text, negated, folders, path) if text else None


def _trimmed(line: str) -> str:
    """Without the spaces at its end, but for one behind a backslash."""
    end, escaped = 0, False
    for place, sign in enumerate(line):
        if escaped or sign != " ":
            end = place + 1
        escaped = sign == "\\" and not escaped
    return line[:end]


def _expression(text: str, path: bool) -> str | None:
    """As a regular expression for a whole match. None: it can match nothing."""
    text = text.removeprefix("/") if path else text
    tokens = _tokens(text, path)
    if tokens is None:
        return None
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == _DEEP:
            parts.append([])
        else:
            parts[-1].append(token)
    made = _chunk(parts[0], last=len(parts) == 1)
    for number, part in enumerate(parts[1:], 2):
        last = number == len(parts)
        if last and not part:  # a/** is everything in a
            made += ".*"
        else:  # **/ is any number of folders, also none
            inner = "(?:[^/]*/)*?" + _chunk(part[1:], last=last)
            made += inner if last else f"(?>{inner})"
    return made


def _chunk(tokens: list[str], *, last: bool) -> str:
    """Tokens without **. Each * but the last takes the least that lets what follows it match: that leaves the most for the rest."""
    pieces: list[list[str]] = [[]]
    for token in tokens:
        if token == _STAR:
            pieces.append([])
        else:
            pieces[-1].append(token)
    made = "".join(pieces[0])
    for number, piece in enumerate(pieces[1:], 2):
        body = f"{_NO_SLASH}*?{''.join(piece)}"
        made += body if last and number == len(pieces) else f"(?>{body})"
    return made


def _tokens(text: str, path: bool) -> list[str] | None:
    """Pieces of a regular expression, each for a fixed number of characters, with _STAR and _DEEP between them."""
    found: list[str] = []
    special = _SPECIAL.search(text)
    begin = special.start() if special else len(text)  # git compares what is before it as text, and takes up the pattern there
    place = 0
    while place < len(text):
        sign = text[place]
        if sign == "*":
            end = place
            while text[end : end + 1] == "*":
                end += 1
            alone = (place in (0, begin) or text[place - 1] == "/") and text[end : end + 1] in ("", "/")
            if path and end - place > 1 and alone:
                found.append(_DEEP)
            elif not found or found[-1] != _STAR:
                found.append(_STAR)
            place = end
        elif sign == "[":
            made = _set(text, place + 1, path)
            if made is None:
                return None
            expression, place = made
            found.append(expression)
        elif sign == "\\":
            if place + 1 == len(text):
                return None
            found.append(re.escape(text[place + 1]))
            place += 2
        else:
            found.append(_NO_SLASH if sign == "?" else re.escape(sign))
            place += 1
    return found


def _set(text: str, place: int, path: bool) -> tuple[str, int] | None:
    """A bracket expression that begins at `place`: its regular expression and where it ends. None: it never ends, or is none."""
    negated = text[place : place + 1] in ("!", "^")
    place += negated
    held: set[str] = set()
    before = ""
    first = True
    while first or text[place : place + 1] != "]":
        first = False
        sign = text[place : place + 1]
        if not sign:
            return None
        following = text[place + 1 : place + 2]
        if sign == "[" and following == ":":
            end = text.find("]", place + 2)
            if end < 0:
                return None
            if end - 1 > place + 1 and text[end - 1] == ":":
                kind = text[place + 2 : end - 1]
                if kind not in _CLASSES:
                    return None
                held |= {c for c in _ASCII if _CLASSES[kind](c)}
                before, place = "", end + 1
                continue
            held.add("[")  # no class: a plain [
            before, place = "[", place + 1
            continue
        if sign == "-" and before and following and following != "]":
            place += 1
            if following == "\\":
                place += 1
                following = text[place : place + 1]
                if not following:
                    return None
            held |= {chr(n) for n in range(ord(before), ord(following) + 1)}
            before, place = "", place + 1
            continue
        if sign == "\\":
            place += 1
            sign = text[place : place + 1]
            if not sign:
                return None
        held.add(sign)
        before, place = sign, place + 1
    chosen = {c for c in _BYTES if c not in held} if negated else held
    if path:
        chosen = chosen - {"/"}
    return (f"[{''.join(sorted(re.escape(c) for c in chosen))}]" if chosen else "(?!)"), place + 1
