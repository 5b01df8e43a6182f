"""docs/metrics.md explains every metric of the event bus, and none that does not exist."""

import re
from pathlib import Path

from eventing.metrics import Metrics

EXPLAINED = Path(__file__).resolve().parents[3] / "docs/metrics.md"
NAME = re.compile(r"^\| `(kfn_(?:events?|trigger|source)_[a-z_]+)`", re.MULTILINE)


def test_every_metric_is_explained_and_none_that_does_not_exist() -> None:
    told = {f"{one.name}_total" if one.type == "counter" else one.name for one in Metrics().registry.collect()}
    assert set(NAME.findall(EXPLAINED.read_text())) == told
