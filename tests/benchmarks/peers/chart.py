"""The chart of the gateway's benchmark as SVG: two panels of grouped bars, written by hand so that nothing need be installed."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from tests.benchmarks.peers.load import Run

WIDTH, HEIGHT = 960, 410
PANEL, GAP, LEFT, TOP, PLOT = 412, 48, 44, 128, 220  # widths and heights of the panels
COLOURS = {"kfn": "#0f766e", "Go": "#94a3b8", "nginx": "#d6a35c"}
INK, SOFT, LINE = "#0f172a", "#64748b", "#e2e8f0"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\""


def draw(cases: Mapping[int, Mapping[str, Run]], names: Sequence[str], about: str) -> str:
    """`cases` by number of connections."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" {FONT} role="img">',
        "<title>kfn's gateway beside Go's httputil.ReverseProxy and nginx</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>',
        _text(LEFT, 42, "A warm request through one proxy", 20, weight=600),
        _text(LEFT, 64, about, 12.5, SOFT),
        *_legend(names),
        *_panel(LEFT, "CPU per request, µs", "less is better", cases, names, lambda run: run.cost, lambda v: f"{v:.0f}"),
        *_panel(LEFT + PANEL + GAP, "requests/s", "more is better", cases, names, lambda run: run.rate, _thousands),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(
    x: float, title: str, sense: str, cases: Mapping[int, Mapping[str, Run]], names: Sequence[str],
    value: Callable[[Run], float], label: Callable[[float], str],
) -> list[str]:  # fmt: skip
    most = max((value(run) for runs in cases.values() for name, run in runs.items() if name in names), default=1.0)
    step = _step(most)
    top = step * -(-most // step)
    bottom = TOP + PLOT
    parts = [_text(x, TOP - 22, title, 14, weight=600), _text(x + PANEL, TOP - 22, sense, 12, SOFT, anchor="end")]
    for number in range(round(top / step) + 1):
        y = bottom - PLOT * number * step / top
        parts.append(f'<line x1="{x + 34}" x2="{x + PANEL}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>')
        parts.append(_text(x + 28, y + 4, label(number * step), 11, SOFT, anchor="end"))
    group = (PANEL - 34) / max(len(cases), 1)
    bar = min(26.0, (group - 14) / max(len(names), 1))
    for index, (connections, runs) in enumerate(cases.items()):
        middle = x + 34 + group * (index + 0.5)
        for place, name in enumerate(names):
            if name in runs:
                parts += _bar(
                    middle + (place - len(names) / 2) * bar, bar - 3, bottom, PLOT * value(runs[name]) / top, name, label(value(runs[name]))
                )
        parts.append(_text(middle, bottom + 19, str(connections), 12, INK, anchor="middle"))
    parts.append(_text(x + 34 + (PANEL - 34) / 2, bottom + 40, "connections", 12, SOFT, anchor="middle"))
    return parts


def _bar(x: float, width: float, bottom: float, height: float, name: str, label: str) -> list[str]:
    weight = 600 if name == "kfn" else 400
    return [
        f'<rect x="{x:.1f}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{COLOURS[name]}"/>',
        _text(x + width / 2, bottom - height - 5, label, 10, INK if name == "kfn" else SOFT, anchor="middle", weight=weight),
    ]


def _legend(names: Sequence[str]) -> list[str]:
    words = {"kfn": "kfn gateway", "Go": "Go httputil.ReverseProxy", "nginx": "nginx"}
    parts, x = [], float(WIDTH - LEFT)
    for name in reversed(names):
        x -= 6.6 * len(words[name]) + 22
        parts.append(f'<rect x="{x:.1f}" y="32" width="12" height="12" rx="2" fill="{COLOURS[name]}"/>')
        parts.append(_text(x + 18, 42, words[name], 12.5))
        x -= 14
    return parts


def _text(x: float, y: float, words: str, size: float, colour: str = INK, *, anchor: str = "start", weight: int = 400) -> str:
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}"{bold}{place}>{escape(words)}</text>'


def _step(most: float) -> float:
    """A round distance of grid lines, so that there are four to eight of them."""
    power = 1.0
    while most / power >= 10:
        power *= 10
    for of_ten in (0.2, 0.5, 1.0, 2.0):
        if most / (power * of_ten) <= 8:
            return power * of_ten
    return power * 2


def _thousands(value: float) -> str:
    return f"{value / 1000:.0f}k" if value >= 10_000 or (value % 1000 == 0 and value) else f"{value / 1000:.1f}k" if value else "0"
