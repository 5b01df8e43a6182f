"""Times, retries and joins of a Pipeline: read from their text, with defaults, within bounds."""

from kfn.api.duration import BadDuration, parse_go
from kfn.api.errors import FieldError
from kfn.api.pipeline import JOIN_MODES, ON_ERROR, Backoff, PipelineStep
from kfn.api.pipeline import Join as JoinSpec
from kfn.api.pipeline import Policy as PolicySpec
from kfn.pipeline.model import Join, Policy

TIME_MAX = 30 * 86400.0  # seconds; what a run keeps is kept so long
RETRIES_MAX = 100
IN_FLIGHT_MAX = 1000
DEFAULT = Policy()


def seconds(text: str, place: str, errors: list[FieldError]) -> float:
    """0 where it is at fault."""
    try:
        found = parse_go(text)
    except BadDuration as error:
        errors.append(FieldError(place, str(error)))
        return 0.0
    if not 0 < found <= TIME_MAX:
        errors.append(FieldError(place, f"{text!r} is not between 0 and 30 days (720h); choose a time between"))
        return 0.0
    return found


def policy(spec: PolicySpec, at: str, defaults: PolicySpec | None, errors: list[FieldError]) -> Policy:
    """The step's own words before those of `spec.defaults`, before kfn's."""
    found = DEFAULT if defaults is None else _over(DEFAULT, defaults, "spec.defaults", [])
    return _over(found, spec, at, errors)


def defaults(spec: PolicySpec | None, errors: list[FieldError]) -> None:
    """What is wrong with `spec.defaults`, said once."""
    if spec is not None:
        _over(DEFAULT, spec, "spec.defaults", errors)


def _over(below: Policy, spec: PolicySpec, at: str, errors: list[FieldError]) -> Policy:
    if spec.retries is not None and not 0 <= spec.retries <= RETRIES_MAX:
        errors.append(FieldError(f"{at}.retries", f"{spec.retries} is not between 0 and {RETRIES_MAX}"))
    if spec.on_error and spec.on_error not in ON_ERROR:
        errors.append(FieldError(f"{at}.onError", f"{spec.on_error!r} is not known; use {', '.join(ON_ERROR)}"))
    backoff, place = spec.backoff or Backoff(), f"{at}.backoff"
    if backoff.factor is not None and not 1 <= backoff.factor <= 100:
        errors.append(FieldError(f"{place}.factor", f"{backoff.factor:g} is not between 1 and 100"))
    return Policy(
        below.retries if spec.retries is None else spec.retries,
        seconds(backoff.initial, f"{place}.initial", errors) if backoff.initial else below.initial,
        below.factor if backoff.factor is None else backoff.factor,
        seconds(backoff.max, f"{place}.max", errors) if backoff.max else below.max,
        below.jitter if backoff.jitter is None else backoff.jitter,
        seconds(spec.timeout, f"{at}.timeout", errors) if spec.timeout else below.timeout,
        spec.on_error or below.on_error,
    )


def join(spec: JoinSpec | None, at: str, errors: list[FieldError]) -> Join:
    if spec is None:
        return Join()
    if spec.mode and spec.mode not in JOIN_MODES:
        errors.append(FieldError(f"{at}.mode", f"{spec.mode!r} is not known; use {' or '.join(JOIN_MODES)}"))
    share = 1.0 if spec.min_success is None else spec.min_success
    if not 0 < share <= 1:
        errors.append(FieldError(f"{at}.minSuccess", f"{share:g} is no share; use a number over 0 and at most 1, such as 0.95"))
    return Join(spec.mode or "all", seconds(spec.window, f"{at}.window", errors) if spec.window else None, share)


def in_flight(spec: PipelineStep, at: str, errors: list[FieldError]) -> int:
    """0 where it is not given."""
    most = spec.max_in_flight
    if most is None:
        return 0
    if not spec.map:
        errors.append(FieldError(f"{at}.maxInFlight", "is for a step with a map; remove it, or give it a map"))
    elif not 1 <= most <= IN_FLIGHT_MAX:
        errors.append(FieldError(f"{at}.maxInFlight", f"{most} is not between 1 and {IN_FLIGHT_MAX}"))
    return most
