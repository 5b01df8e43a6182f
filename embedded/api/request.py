"""One request and its answer, as the core sees them: decoded, without HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedded.api.status import bad_request

_DIGITS = 9  # of a number in a query: seconds, lines or objects


@dataclass(frozen=True, slots=True)
class Request:
    """`body` is decoded JSON or YAML; `accept` is the HTTP header, which only tables and discovery look at."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    user: str = "kfn:anonymous"
    accept: str = ""

    def flag(self, name: str) -> bool:
        value = self.query.get(name, "")
        return value.lower() in ("true", "1", "t") or (name in self.query and value == "" and name == "watch")

    def number(self, name: str, default: int, digits: int = _DIGITS) -> int:
        value = self.query.get(name, "")
        if not value:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) <= digits):
            raise bad_request(f'invalid {name} "{value[:40]}": must be a whole number from 0 to {10**digits - 1}')
        return int(value)

    def version(self) -> int:
        """The resourceVersion asked for; 0 for any."""
        return self.number("resourceVersion", 0, 18)

    @property
    def dry_run(self) -> bool:
        value = self.query.get("dryRun", "")
        if value not in ("", "All"):
            raise bad_request(f'invalid dryRun "{value}": must be All')
        return value == "All"


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` may share objects with the store: encode it or copy it, never change it."""

    status: int
    body: Any
    warnings: tuple[str, ...] = ()
    table: str = ""  # "list" or "object" when the body may be turned into a printer-column table
    text: str = ""  # what HTTP says in plain text instead of the body
