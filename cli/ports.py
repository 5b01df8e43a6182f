"""Ports that one command is to listen on must differ. The kernel does not say so in time: both can be bound, and one is never heard."""

from collections.abc import Mapping

from cli.failures import CliError

EVERY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def distinct(wanted: Mapping[str, tuple[str, int | None]]) -> None:
    """`wanted` is host and port by flag; None is a port that nobody asked for, 0 a free one. Raises CliError."""
    taken: dict[int, tuple[str, str]] = {}
    for flag, (host, port) in wanted.items():
        if not port:
            continue
        other, there = taken.setdefault(port, (flag, host))
        if other != flag and (host == there or host in EVERY or there in EVERY):
            raise CliError(f"{other} and {flag} are both {port}; give each a port of its own, or 0 for a free one", 2)
