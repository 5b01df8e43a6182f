"""docs/conformance.md, from runs and `page.md`. Causes of failures and skips are in `causes.toml`, else they are the test's own words."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from kfn.clock import utcnow
from tests.cluster.conformance import suite
from tests.cluster.conformance.results import Outcome, Result, count, table

HERE = Path(__file__).parent


def written(results: Mapping[str, Sequence[Result]], flags: Mapping[str, Sequence[str]], took: float, versions: str) -> str:
    counts = ["| run | flags | passed | failed | skipped |", "| --- | --- | --- | --- | --- |"]
    for title, found in results.items():
        number = count(found)
        shown = " ".join(f"`{flag}`" for flag in flags[title])
        row = (title, shown, *(str(number[outcome]) for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)))
        counts.append(f"| {' | '.join(row)} |")
    causes = tomllib.loads((HERE / "causes.toml").read_text())
    runs = [(title, {one.name: one for one in found}) for title, found in results.items()]
    return (
        (HERE / "page.md")
        .read_text()
        .format(
            module=suite.MODULE,
            version=suite.VERSION,
            commit=suite.COMMIT[:12],
            kubernetes=json.loads(versions)["serverVersion"]["gitVersion"],
            when=f"{utcnow():%Y-%m-%d}",
            minutes=took / 60,
            counts="\n".join(counts),
            table=table(runs, causes),
        )
    )
