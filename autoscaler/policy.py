"""A Revision's scaling policy: its annotations over the defaults, with Knative's arithmetic for the target. Pure.

Admission has checked the annotations; a value that cannot be read here all the same counts as not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from autoscaler.settings import Settings
from kfn.api import names
from kfn.api.annotations import autoscaling
from kfn.api.duration import BadDuration, parse_go
from kfn.api.serving import Revision

CONCURRENCY, RPS = "concurrency", "rps"
TARGET_MIN = 0.01
VERDICT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Policy:
    """How one Revision scales. `target` is what one instance should have on average, `capacity` what it can take at most."""

    metric: str = CONCURRENCY
    target: float = 70.0
    capacity: float = 100.0
    weighted: bool = False  # newer seconds count more (weighted-exponential)
    stable_window: float = 60.0
    panic_window: float = 6.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    min_scale: int = 0
    max_scale: int = 0
    initial_scale: int = 1
    activation_scale: int = 1
    scale_down_delay: float = 0.0
    zero_hold: float = 0.0  # after the window is empty
    scale_to_zero: bool = True
    progress_deadline: float = 600.0
    first_wave: float = 1.0  # of what is wanted where nothing is ready, the part that is started at once
    wave: float = 1.0  # seconds that the rest waits for it

    @property
    def gives_up(self) -> float:
        """Seconds after which instances that never became ready are stopped: not before the controller, which goes by the wall clock and
        by other moments of the start, has read from them what is wrong. Once they are stopped nothing says it."""
        return self.progress_deadline + VERDICT


def policy_of(revision: Revision, settings: Settings) -> Policy:
    """The policy that a Revision's annotations and containerConcurrency make with these defaults."""
    notes = autoscaling(revision.metadata.annotations)
    metric = RPS if notes.get("metric") == RPS else CONCURRENCY
    hard = float(revision.spec.container_concurrency or 0)
    total = _total(metric, hard, _number(notes, "target"), settings)
    utilization = (_number(notes, "target-utilization-percentage") or settings.target_utilization_percentage) / 100
    stable = _seconds(notes, "window", settings.stable_window)
    part = (_number(notes, "panic-window-percentage") or settings.panic_window_percentage) / 100
    retention = _seconds(notes, "scale-to-zero-pod-retention-period", settings.retention)
    return Policy(
        metric=metric,
        target=max(TARGET_MIN, total * utilization),
        capacity=hard or total,
        weighted=notes.get("metric-aggregation-algorithm") == "weighted-exponential",
        stable_window=stable,
        panic_window=max(1.0, float(round(stable * part))),
        panic_threshold=(_number(notes, "panic-threshold-percentage") or settings.panic_threshold_percentage) / 100,
        max_scale_up_rate=settings.max_scale_up_rate,
        max_scale_down_rate=settings.max_scale_down_rate,
        min_scale=_whole(notes, "min-scale", settings.min_scale),
        max_scale=_whole(notes, "max-scale", settings.max_scale),
        initial_scale=_whole(notes, "initial-scale", settings.initial_scale),
        activation_scale=_whole(notes, "activation-scale", 1),
        scale_down_delay=_seconds(notes, "scale-down-delay", settings.scale_down_delay),
        zero_hold=max(settings.scale_to_zero_grace, retention),
        scale_to_zero=settings.scale_to_zero,
        progress_deadline=_seconds(revision.metadata.annotations, names.PROGRESS_DEADLINE, settings.progress_deadline),
        first_wave=settings.first_wave,
        wave=settings.wave,
    )


def _total(metric: str, hard: float, asked: float | None, settings: Settings) -> float:
    """What one instance should take at most: a soft target never exceeds the hard limit."""
    if metric == RPS:
        return asked or settings.rps_target
    if asked is None:
        return hard or settings.concurrency_target
    return min(asked, hard) if hard else asked


def _number(notes: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(notes[key])
    except (KeyError, ValueError):
        return None
    return value if 0 < value < float("inf") else None


def _whole(notes: Mapping[str, str], key: str, default: int) -> int:
    value = notes.get(key, "")
    return int(value) if value.isdecimal() else default


def _seconds(notes: Mapping[str, str], key: str, default: float) -> float:
    try:
        return max(0.0, parse_go(notes[key]))
    except (KeyError, BadDuration):
        return default
