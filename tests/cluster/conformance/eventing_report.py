"""docs/conformance-eventing.md, from a run and `page-eventing.md`. Causes of failures are in `causes-eventing.toml`, else they are the
test's own words."""

import json
import tomllib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from kfn.clock import utcnow
from tests.cluster.conformance.results import Outcome, Result

HERE = Path(__file__).parent
_TODO = "TODO, Implement this."


class Found(StrEnum):
    """What a claim of the specification came to. Knative has not written the test of some: those pass without having looked at anything."""

    PASSED = "passed"
    EMPTY = "not written yet"
    SKIPPED = "skipped"
    FAILED = "failed"


def claims(results: Iterable[Result]) -> dict[str, tuple[Found, str]]:
    """Each claim by its test's name with what it came to and what it said; and whatever failed on the way to claims."""
    found = list(results)
    parents = {one.name.rpartition("/")[0] for one in found}
    told: dict[str, tuple[Found, str]] = {}
    for one in found:
        if one.name in parents or not ("/Assert/" in one.name or one.outcome is Outcome.FAILED):
            continue
        empty = one.outcome is Outcome.PASSED and one.said.endswith(_TODO)
        told[one.name] = (Found.EMPTY if empty else Found(one.outcome.value)), one.said
    return told


def passed(results: Iterable[Result]) -> list[Result]:
    """The claims that were looked at and hold, for a comparison with what is expected."""
    return [Result(name, Outcome.PASSED) for name, (found, _) in claims(results).items() if found is Found.PASSED]


def counts(results: Iterable[Result]) -> dict[str, dict[Found, int]]:
    """By test and feature."""
    counted: dict[str, dict[Found, int]] = {}
    for name, (found, _) in claims(results).items():
        counted.setdefault(feature(name), dict.fromkeys(Found, 0))[found] += 1
    return counted


def feature(name: str) -> str:
    """`TestX/Set/Feature/Assert/Claim`: test and feature, without numbers that only tell apart."""
    test, _, rest = name.partition("/")
    parts = rest.split("/")
    title = parts[1] if len(parts) > 2 else parts[0]
    title = title.partition("_-_dlq")[0].partition("_-_routing")[0].partition("#")[0]
    part = parts[0].rpartition("_-_")[2] if len(parts) > 2 else ""
    return " | ".join((test, f"{part}: {title}".replace("_", " ") if part else title.replace("_", " ")))


def written(results: Sequence[Result], module: str, commit: str, took: float, versions: str) -> str:
    rows = ["| test | feature | passed | not written yet | skipped | failed |", "| --- | --- | --- | --- | --- | --- |"]
    rows += [f"| {title} | {' | '.join(str(found[one]) for one in Found)} |" for title, found in sorted(counts(results).items())]
    causes = tomllib.loads((HERE / "causes-eventing.toml").read_text())
    bad = {name: said for name, (found, said) in claims(results).items() if found is Found.FAILED}
    lines = [f"- `{name}`: {causes.get(name, said)}" for name, said in sorted(bad.items())]
    whole = [found for found, _ in claims(results).values()]
    return (
        (HERE / "page-eventing.md")
        .read_text()
        .format(
            module=module,
            commit=commit[:12],
            kubernetes=json.loads(versions)["serverVersion"]["gitVersion"],
            when=f"{utcnow():%Y-%m-%d}",
            minutes=took / 60,
            table="\n".join(rows),
            failures="\n".join(lines) or "None.",
            **{one.name.lower(): whole.count(one) for one in Found},
        )
    )
