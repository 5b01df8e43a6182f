"""What Go's test output says, test by test; what differs from what is expected; and the table for docs/conformance.md. Decides only."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

_STATE = re.compile(r"=== (?P<what>RUN|PAUSE|CONT|NAME) +(?P<test>\S+)")
_END = re.compile(r" *--- (?P<what>PASS|FAIL|SKIP): (?P<test>\S+) \((?P<seconds>[\d.]+)s\)")
_TOLD = re.compile(r"\s+\w+\.go:\d+: (?P<text>.*)")


LINE = 300  # characters of a line of a test's log that are shown


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """One test or, with a slash in its name, one subtest. `said` is the end of its own log: why it failed or was skipped."""

    name: str
    outcome: Outcome
    seconds: float = 0.0
    said: str = ""


_OUTCOMES = {"PASS": Outcome.PASSED, "FAIL": Outcome.FAILED, "SKIP": Outcome.SKIPPED}


@dataclass
class Reader:
    """Reads `go test -v` line by line."""

    results: dict[str, Result] = field(default_factory=dict)
    _running: list[str] = field(default_factory=list)
    _log: dict[str, list[str]] = field(default_factory=dict)
    _test: str = ""

    def read(self, line: str) -> Result | None:
        """The result that this line tells, if it tells one."""
        if found := _STATE.match(line):
            self._test = found["test"]
            if found["what"] == "RUN":
                self._running.append(self._test)
        elif found := _END.match(line):
            name = self._test = found["test"]
            if name in self._running:
                self._running.remove(name)
            said = " / ".join(self._log.get(name, ()))
            self.results[name] = Result(name, _OUTCOMES[found["what"]], float(found["seconds"]), said)
            return self.results[name]
        elif (found := _TOLD.match(line)) and not found["text"].startswith("resource {"):  # a whole object, as Go prints it
            self._log.setdefault(self._test, []).append(found["text"].strip()[:LINE])
            del self._log[self._test][:-3]
        return None

    def end(self) -> list[Result]:
        """Every test that was begun; one that never ended, because the process did, has failed."""
        ended = [Result(name, Outcome.FAILED, said="it did not end: the test process did") for name in self._running]
        return [*self.results.values(), *ended]


def worse(results: Iterable[Result], expected: Iterable[str]) -> list[str]:
    """What was to pass and did not, each with why."""
    found = {result.name: result for result in results}
    wrong = []
    for name in expected:
        result = found.get(name)
        if result is None:
            wrong.append(f"{name}: it is no test of this suite any more")
        elif result.outcome is not Outcome.PASSED:
            wrong.append(f"{name} {result.outcome}: {result.said}")
    return wrong


def count(results: Iterable[Result]) -> dict[Outcome, int]:
    """Of whole tests, without subtests."""
    whole = [result.outcome for result in results if "/" not in result.name]
    return {outcome: whole.count(outcome) for outcome in Outcome}


def table(runs: Sequence[tuple[str, Mapping[str, Result]]], causes: Mapping[str, str]) -> str:
    """Markdown: a row for each test and for each subtest that did not pass, a column for each run, and the cause if one did not pass."""
    names = sorted({name for _, results in runs for name in results})
    rows = [["test", *(title for title, _ in runs), ""], ["---"] * (len(runs) + 2)]
    for name in names:
        found = [results.get(name) for _, results in runs]
        bad = [result for result in found if result is not None and result.outcome is not Outcome.PASSED]
        if "/" in name and not any(result.outcome is Outcome.FAILED for result in bad):
            continue
        why = causes.get(name) or next((result.said for result in bad if result.outcome is Outcome.FAILED), bad[0].said if bad else "")
        rows.append([name, *(_cell(name, results) for _, results in runs), why.replace("|", "\\|")])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(name: str, results: Mapping[str, Result]) -> str:
    """A test whose parts run beside each other lasts as long as the longest, which Go leaves out."""
    if name not in results:
        return ""
    if results[name].outcome is Outcome.SKIPPED:
        return "skipped"
    parts = [one for one in results.values() if one.name.startswith(f"{name}/")]
    if parts and all(part.outcome is Outcome.SKIPPED for part in parts):
        return f"{results[name].outcome}, its parts skipped"
    return f"{results[name].outcome} ({max(one.seconds for one in (results[name], *parts)):.0f} s)"
