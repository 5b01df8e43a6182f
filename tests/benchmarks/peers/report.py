"""What the gateway's benchmark tells: lines while it runs, the ratios that the design bounds, and table and chart in docs/."""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kfn.clock import utcnow
from tests.benchmarks.peers import chart
from tests.benchmarks.peers.load import Case, Run
from tests.benchmarks.peers.processes import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "benchmarks" / "gateway.svg"
BEGIN, END = "<!-- make bench-gateway writes from here -->", "<!-- to here -->"
BUSY = 0.1  # of a core, used by others: from there on the figures are not to be trusted
MOST_CPU = 45  # µs a request
PROXIES = ("kfn", "Go", "nginx")


@dataclass
class Results:
    cores: int
    seconds: int
    rounds: int
    pinned: dict[Case, Mapping[str, Run]] = field(default_factory=dict)
    free: Mapping[str, Run] = field(default_factory=dict)

    @property
    def others(self) -> float:
        """The largest share of a core that something else had in the median of a case."""
        every = [run.others for runs in (*self.pinned.values(), self.free) for run in runs.values()]
        return max(every, default=0.0)


def heading(text: str) -> None:
    print(f"\n{text}\n{'':16} {'conns':>5} {'':14} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs':>8}   of Go's: rate, p99, CPU")


def case(what: Case, runs: Mapping[str, Run]) -> None:
    for name, run in runs.items():
        label, connections = (str(what), str(what.connections)) if name == "kfn" else ("", "")
        ratios = "   " + ", ".join(f"{r:.2f}" for r in ratio(run, runs["Go"])) if "Go" in runs and name not in ("Go", "bare") else ""
        warning = f"   ({run.others:.0%} of a core was somebody else's)" if run.others > BUSY else ""
        figures = f"{run.rate:>10,.0f} {run.p50:>8.2f} {run.p99:>8.2f} {run.cost:>8.1f}"
        print(f"{label:16} {connections:>5} {name:14} {figures}{ratios}{warning}", flush=True)


def ratio(run: Run, beside: Run) -> tuple[float, float, float]:
    """Rate, p99 and CPU per request."""
    return run.rate / beside.rate, run.p99 / max(beside.p99, 1e-3), run.cost / max(beside.cost, 1e-3)


def summary(results: Results) -> None:
    """The bounds of the design, at 16 connections and 1 KiB."""
    print(
        f"\nMust be: at most {MOST_CPU:g} µs of CPU; of Go's proxy at least 1.00 of the rate, at most 1.00 of the p99 and 0.75 of the CPU."
    )
    for what, runs in results.pinned.items():
        if (what.size, what.connections) == (1024, 16) and "kfn" in runs:
            of_go = (
                "{:.2f} of the rate, {:.2f} of the p99, {:.2f} of the CPU".format(*ratio(runs["kfn"], runs["Go"])) if "Go" in runs else "?"
            )
            print(f"{what!s:16} at 16: {runs['kfn'].cost:.1f} µs; of Go's proxy {of_go}")
    if results.others > BUSY:
        print(f"The machine was busy: others used up to {results.others:.0%} of a core in a case. Do not trust these figures.")


def write(results: Results) -> None:
    text = PAGE.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{PAGE} has lost its marks"
    PAGE.write_text(before + BEGIN + "\n\n" + markdown(results) + "\n" + END + after)
    CHART.parent.mkdir(exist_ok=True)
    busy = "" if results.others <= BUSY else "; busy machine"
    about = f"GET, 1 KiB; one core for the proxy; median of {results.rounds} runs; {made()}{busy}"
    shown = {c.connections: runs for c, runs in results.pinned.items() if (c.method, c.size, c.varied) == ("GET", 1024, False)}
    CHART.write_text(chart.draw(shown, [name for name in PROXIES if any(name in runs for runs in shown.values())], about))
    print(f"written: {PAGE.relative_to(ROOT)}, {CHART.relative_to(ROOT)}")


def markdown(results: Results) -> str:
    busy = "" if results.others <= BUSY else f" **The machine was busy: others had up to {results.others:.0%} of a core.**"
    lines = [
        f"{made()[0].upper()}{made()[1:]}. {results.rounds} runs of {results.seconds} s each, medians. {versions()}{busy}",
        "",
        "Each cell: requests/s, p50 / p99 in ms, µs of the proxy's CPU per request.",
        "",
        "| one core for the proxy | kfn | Go | nginx | upstream alone | kfn of Go's: rate, p99, CPU |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(f"{what}, {what.connections}", runs) for what, runs in results.pinned.items()]
    if results.free:
        lines += [
            "",
            f"| all {results.cores} cores for everybody | kfn | Go | nginx | upstream alone | kfn of Go's |",
            "|---|---|---|---|---|---|",
        ]
        for name in sorted(name for name in results.free if name.startswith("kfn")):
            lines.append(_row(f"GET 1 KiB, 16{name.removeprefix('kfn')}", {**results.free, "kfn": results.free[name]}))
    return "\n".join([*lines, ""])


def _row(label: str, runs: Mapping[str, Run]) -> str:
    cells = [_cell(runs.get(name)) for name in PROXIES]
    bare = f"{runs['bare'].rate:,.0f}/s" if "bare" in runs else ""
    of_go = ", ".join(f"{r:.2f}" for r in ratio(runs["kfn"], runs["Go"])) if "Go" in runs else ""
    return f"| {label} | {' | '.join(cells)} | {bare} | {of_go} |"


def _cell(run: Run | None) -> str:
    return "" if run is None else f"{run.rate:,.0f}/s, {run.p50:.2f} / {run.p99:.2f}, {run.cost:.1f} µs"


def made() -> str:
    commit = _said(["git", "rev-parse", "--short", "HEAD"])
    return f"{utcnow().date()}, {commit or 'no commit'}"


def versions() -> str:
    nginx = _said(["nginx", "-v"]).removeprefix("nginx version: ").replace("/", " ")
    go = " ".join(_said(["go", "version"]).split()[2:3]).replace("go", "Go ")
    return ", ".join(part for part in (f"Python {platform.python_version()}", go, nginx, _processor()) if part) + "."


def _processor() -> str:
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(models)} cores of {models[0]}" if models else ""


def _said(argv: list[str]) -> str:
    try:
        run = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return ""
    return (run.stdout or run.stderr).strip() if run.returncode == 0 else ""
