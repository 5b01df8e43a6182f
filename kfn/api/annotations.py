"""Rules for annotations and labels with a meaning: `autoscaling.knative.dev/`, progress deadline, rollout, visibility."""

import difflib
import math
from collections.abc import Callable, Mapping

from kfn.api import names, naming
from kfn.api.duration import BadDuration, parse_go
from kfn.api.errors import FieldError

KPA = "kpa.autoscaling.knative.dev"
METRICS = ("concurrency", "rps")
WINDOW_MIN, WINDOW_MAX = 6.0, 3600.0
HOSTS_MAX = 32  # of the user's own for one function
NATS_MAX = 32  # Brokers, and Triggers, of one function
INSIDE = ("svc", "cluster.local")  # domains in which names are the cluster's

# Knative also takes the camelCase spelling of each.
KNOWN = (
    "class", "metric", "metric-aggregation-algorithm", "min-scale", "max-scale", "initial-scale", "activation-scale", "target",
    "target-utilization-percentage", "target-burst-capacity", "window", "panic-window-percentage", "panic-threshold-percentage",
    "scale-down-delay", "scale-to-zero-pod-retention-period",
)  # fmt: skip
_CAMEL = {"".join(w if i == 0 else w.capitalize() for i, w in enumerate(key.split("-"))): key for key in KNOWN}


def path(base: str, key: str) -> str:
    """How an annotation's path is written: `metadata.annotations[a.b/c]`."""
    return f"{base}[{key}]"


def autoscaling(annotations: Mapping[str, str]) -> dict[str, str]:
    """The autoscaling annotations by their short kebab-case name; unknown ones under the name they have."""
    found = {}
    for key, value in annotations.items():
        if key.startswith(names.AUTOSCALING):
            short = key.removeprefix(names.AUTOSCALING)
            found[_CAMEL.get(short, short)] = value
    return found


def validate_template(annotations: Mapping[str, str], base: str) -> list[FieldError]:
    """Check the annotations of a revision template or a Revision."""
    found = autoscaling(annotations)
    errors: list[FieldError] = []
    for short, value in found.items():
        at = path(base, names.AUTOSCALING + short)
        rule = _RULES.get(short)
        if rule is None:
            close = difflib.get_close_matches(short, KNOWN, n=1, cutoff=0.5)
            fix = f'did you mean "{names.AUTOSCALING}{close[0]}"?' if close else f"known: {', '.join(KNOWN)}"
            errors.append(FieldError(at, f"unknown annotation; {fix}"))
        elif wrong := rule(value):
            errors.append(FieldError(at, wrong))
    low, high = _int(found.get("min-scale")), _int(found.get("max-scale"))
    if low is not None and high and low > high:
        errors.append(FieldError(path(base, names.AUTOSCALING + "min-scale"), f"{low} is more than max-scale ({high}); lower it"))
    weight = annotations.get(names.EVENT_WEIGHT)
    if weight is not None and not 1 <= (_int(weight) or 0) <= names.EVENT_WEIGHT_MOST:
        wrong = f"{weight[:40]!r} is no number from 1 to {names.EVENT_WEIGHT_MOST}: places for waiting events, for each 100 for requests"
        errors.append(FieldError(path(base, names.EVENT_WEIGHT), wrong))
    if names.PROGRESS_DEADLINE in annotations and (wrong := _seconds(annotations[names.PROGRESS_DEADLINE], 1, math.inf)):
        errors.append(FieldError(path(base, names.PROGRESS_DEADLINE), wrong))
    for key, rule in ((names.NATS_PUBLISH, _places), (names.NATS_PULL, _triggers)):
        if key in annotations and (wrong := rule(annotations[key])):
            errors.append(FieldError(path(base, key), wrong))
    return errors


def validate_object(annotations: Mapping[str, str], labels: Mapping[str, str]) -> list[FieldError]:
    """Check the annotations and labels of a Service, Configuration or Route itself."""
    errors = [
        FieldError(path("metadata.annotations", key), "has no effect here; move it to spec.template.metadata.annotations")
        for key in annotations
        if key.startswith(names.AUTOSCALING)
    ]
    if names.ROLLOUT_DURATION in annotations and (wrong := _seconds(annotations[names.ROLLOUT_DURATION], 0, math.inf)):
        errors.append(FieldError(path("metadata.annotations", names.ROLLOUT_DURATION), wrong))
    if labels.get(names.VISIBILITY, "cluster-local") != "cluster-local":
        at = path("metadata.labels", names.VISIBILITY)
        errors.append(FieldError(at, f'{labels[names.VISIBILITY]!r} is not known; write "cluster-local", or remove it to be public'))
    if names.HOSTS in annotations:
        wrong = _hosts(annotations[names.HOSTS])
        if not wrong and names.VISIBILITY in labels:
            wrong = f"a cluster-local function has no name outside; remove this, or the label {names.VISIBILITY}"
        if wrong:
            errors.append(FieldError(path("metadata.annotations", names.HOSTS), wrong))
    return errors


def hosts(value: str) -> list[str]:
    """The hosts in a `kfn.dev/hosts` annotation."""
    return [host.strip() for host in value.split(",") if host.strip()]


def nats_publish(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The Brokers, or `channels/NAME`, that a function may publish to by NATS."""
    return _listed(annotations.get(names.NATS_PUBLISH, ""))


def nats_pull(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The Triggers whose events it may pull."""
    return _listed(annotations.get(names.NATS_PULL, ""))


def _listed(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.strip() for one in value.split(",") if one.strip()))


def _places(value: str) -> str | None:
    return _names([one.removeprefix("channels/") for one in _listed(value)], "brokers, or channels/NAME,")


def _triggers(value: str) -> str | None:
    return _names(list(_listed(value)), "triggers")


def _names(found: list[str], what: str) -> str | None:
    if not found:
        return f"names nothing; write {what} with commas between them, or remove it"
    if len(found) > NATS_MAX:
        return f"{len(found)} names; at most {NATS_MAX} are possible"
    return next((f"{one[:60]!r}: {wrong}" for one in found if (wrong := naming.dns_name(one))), None)


def _hosts(value: str) -> str | None:
    found = hosts(value)
    if not found:
        return "names no host; write hosts with commas between them, or remove it"
    if len(found) > HOSTS_MAX:
        return f"{len(found)} hosts; at most {HOSTS_MAX} are possible, a wildcard such as *.example.com covers many"
    twice = next((host for host in found if found.count(host) > 1), None)
    return f"{twice!r} is there twice" if twice else next(filter(None, map(_host, found)), None)


def _host(host: str) -> str | None:
    base = host.removeprefix("*.")
    if wrong := naming.dns_name(base):
        return f"{host!r} is not a host: {wrong}"
    if "." not in base:
        return f"{host!r} has too few labels; use a whole domain name, such as {'*.' if host != base else ''}{base}.example.com"
    if base.rpartition(".")[2].isdecimal():
        return f"{host!r} is an IP address; use a name"
    if any(base == inside or base.endswith(f".{inside}") for inside in INSIDE):
        return f"{host!r} is a name in the cluster, which belongs to the function of that name; use one outside"
    return None


def _int(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None


def _integer(value: str, low: int) -> str | None:
    number = _int(value)
    if number is None or not low <= number <= 2**31 - 1:
        return f"{value!r} is not a whole number of at least {low}"
    return None


def _number(value: str, low: float, high: float) -> str | None:
    bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    try:
        ok = low <= float(value) <= high and math.isfinite(float(value))
    except ValueError:
        ok = False
    return None if ok else f"{value!r} is not a number {bounds}"


def _seconds(value: str, low: float, high: float) -> str | None:
    try:
        seconds = parse_go(value)
    except BadDuration as error:
        return str(error)
    if not low <= seconds <= high:
        return f"{value} must be at least {low:g}s" if high == math.inf else f"{value} must be from {low:g}s to {high:g}s"
    if abs(seconds - round(seconds)) > 1e-9:
        return f"{value} must be whole seconds"
    return None


def _one_of(value: str, allowed: tuple[str, ...]) -> str | None:
    return None if value in allowed else f"{value!r} is not known; use {' or '.join(allowed)}"


_RULES: dict[str, Callable[[str], str | None]] = {
    "class": lambda v: _one_of(v, (KPA,)),
    "metric": lambda v: _one_of(v, METRICS),
    "metric-aggregation-algorithm": lambda v: _one_of(v, ("linear", "weighted-exponential")),
    "min-scale": lambda v: _integer(v, 0),
    "max-scale": lambda v: _integer(v, 0),
    "initial-scale": lambda v: _integer(v, 0),
    "activation-scale": lambda v: _integer(v, 1),
    "target": lambda v: _number(v, 0.01, math.inf),
    "target-utilization-percentage": lambda v: _number(v, 1, 100),
    "target-burst-capacity": lambda v: _number(v, -1, math.inf),
    "window": lambda v: _seconds(v, WINDOW_MIN, WINDOW_MAX),
    "panic-window-percentage": lambda v: _number(v, 1, 100),
    "panic-threshold-percentage": lambda v: _number(v, 110, 1000),
    "scale-down-delay": lambda v: _seconds(v, 0, 3600),
    "scale-to-zero-pod-retention-period": lambda v: _seconds(v, 0, 3600),
}
