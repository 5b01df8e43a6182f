"""What a registry asks for with a 401 (`WWW-Authenticate`, RFC 9110 and the distribution project's token protocol), and scopes. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_ITEM = re.compile(
    r"""\s*,?\s*(?:(?P<key>[A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]*))"""
    r"""|(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=\s|,|$))"""
)
LONGEST = 16384


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` in lower case: bearer or basic."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        return self.parameters.get(name, "")


def challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """One header may hold several, and there may be several headers. What cannot be read ends it."""
    found: list[Challenge] = []
    for value in values:
        text, at = value[:LONGEST], 0
        while item := _ITEM.match(text, at):
            if item.end() == at:
                break
            at = item.end()
            if item["scheme"]:
                found.append(Challenge(item["scheme"].lower()))
            elif found:
                given = re.sub(r"\\(.)", r"\1", item["quoted"]) if item["quoted"] is not None else item["bare"]
                found[-1].parameters.setdefault(item["key"].lower(), given)
    return tuple(found)


def scope(repository: str, actions: str) -> str:
    """`repository:team/app:pull,push`."""
    return f"repository:{repository}:{actions}"


def wanted(ours: Iterable[str], theirs: str) -> tuple[str, ...]:
    """The scopes to ask for: ours, and what the registry names beyond them."""
    own = tuple(ours)
    return own + tuple(one for one in theirs.split() if not any(_covers(mine, one) for mine in own))


def _covers(mine: str, other: str) -> bool:
    name, _, actions = mine.rpartition(":")
    its, _, wants = other.rpartition(":")
    return name == its and set(wants.split(",")) <= set(actions.split(","))
