"""docs/metrics.md explains every metric of the event bus, and none that does not exist."""

import re
from pathlib import Path

from eventing.metrics import Metrics
from eventing.pipelines.measured import Measured

EXPLAINED = Path(__file__).resolve().parents[3] / "docs/metrics.md"
NAME = re.compile(r"^\| `(kfn_(?:events?|trigger|source|pipeline)_[a-z_]+)`", re.MULTILINE)


def test_every_metric_is_explained_and_none_that_does_not_exist() -> None:
    metrics = Metrics()
    Measured(metrics.registry)
    told = {f"{one.name}_total" if one.type == "counter" else one.name for one in metrics.registry.collect()}
    assert set(NAME.findall(EXPLAINED.read_text())) == told
