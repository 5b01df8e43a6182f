"""`python -m deploy.chartfiles` (make chart) writes what the chart holds of others: the table of its values in README.md, made of
values.yaml, and the alert rules and dashboards of deploy/observability, for a chart's templates can read no file outside of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy/chart/kfn"
OBSERVABILITY = ROOT / "deploy/observability"
BEGIN, END = "<!-- values: made by `make chart` of values.yaml -->\n", "<!-- end of values -->\n"


def files() -> dict[Path, bytes]:
    """Every file that is made, and what is in it."""
    found = {CHART / "files/alerts.yaml": (OBSERVABILITY / "alerts.yaml").read_bytes()}
    found |= {CHART / "files/dashboards" / path.name: path.read_bytes() for path in sorted(OBSERVABILITY.glob("*.json"))}
    readme = CHART / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    found[readme] = f"{before}{BEGIN}{table((CHART / 'values.yaml').read_text())}{END}{after}".encode()
    return found


def table(text: str) -> str:
    """A row for each value: its dotted name, its default, and the comment above it."""
    rows = ["", "| value | default | is |", "|---|---|---|"]
    said = dict(_comments(text))
    for name, default in _leaves(yaml.safe_load(text), ""):
        shown = json.dumps(default, separators=(", ", ": "))
        meaning = said.get(name, "").replace("|", "\\|")
        rows.append(f"| `{name}` | `{shown}` | {meaning} |")
    return "\n".join([*rows, "", ""])


def _leaves(values: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        at = f"{path}{name}"
        if isinstance(value, dict) and value and name != "resources" and not name.lower().endswith("labels"):
            yield from _leaves(value, f"{at}.")
        else:
            yield at, value


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """The comment that stands directly above a key, by the key's dotted name."""
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            said.append(bare[1:].strip())
            continue
        if bare and not bare.startswith("-"):
            indent = len(line) - len(line.lstrip())
            path = [(at, name) for at, name in path if at < indent]
            path.append((indent, bare.partition(":")[0]))
            if said:
                yield ".".join(name for _, name in path), " ".join(said)
        said = []


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
