"""Decide how many instances a revision should have: Knative's KPA, with its rounding. No I/O, no clock, no logging.

Two averages are looked at. The stable one (60 s) moves slowly; when the panic one (6 s) asks for twice of what is ready,
only growing is allowed until a whole stable window has been calm. Then come the delay, the way to zero, and the bounds.
One thing is kfn's own: a whole window without any load ends panic and needs no steps, everything that is left goes at once.
"""

from dataclasses import dataclass, replace
from math import ceil, floor

from autoscaler.policy import Policy

LISTEN = 15.0  # seconds at least, for a gateway whose autoscaler has gone to find the next one: 5 of silence, 2 between two tries


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known now. `stable` and `panic` are the metric's averages, None while there is no data since the start."""

    stable: float | None
    panic: float | None
    ready: int
    replicas: int  # asked for last
    waiting: int = 0  # requests held because there is no instance
    reachable: bool = True  # a Route may send requests
    initialized: bool = True  # it has been ready once
    quiet_for: float = 0.0  # seconds since the last load, the first sight and the first readiness, whichever is latest
    stalled_for: float = 0.0  # seconds since instances were asked for, none of which has become ready
    heard_for: float | None = None  # seconds for which gateways have been reporting without a gap, 0: none does; None: it is one of us


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision must remember for the next. `recent` holds (time, wanted), falling, for the scale-down delay."""

    panic_since: float | None = None
    panic_peak: int = 0
    recent: tuple[tuple[float, int], ...] = ()
    zero_since: float | None = None
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """How many, and why: `because` is the arithmetic in words."""

    replicas: int
    panicking: bool
    because: str


def starting(ready: int, replicas: int, now: float) -> Memory:
    """The memory to begin with. With several instances running, as after a restart, hold them: their load is not known yet."""
    many = max(ready, replicas)
    return Memory(panic_since=now, panic_peak=many) if many > 1 else Memory()


def decide(policy: Policy, seen: Observation, memory: Memory, now: float) -> tuple[Decision, Memory]:
    """The decision for what is seen now, and the memory for the next one."""
    if given_up := _give_up(policy, seen, memory):
        return given_up
    memory = replace(memory, gave_up=False)
    why: list[str] = []
    wanted, memory = _by_load(policy, seen, memory, now, why)
    wanted, memory = _first_of_all(policy, seen, wanted, memory, why)
    panicking = memory.panic_since is not None
    if wanted == 0 and seen.replicas > 0 and seen.quiet_for < policy.stable_window:
        wanted = 1
        why.append(f"quiet for {seen.quiet_for:.3g}s of a window of {policy.stable_window:g}s, keeps 1")
    wanted, memory = _delayed(policy, wanted, memory, now, why)
    wanted = _unheard(policy, seen, wanted, why)
    wanted = _bounded(policy, seen, wanted, why)
    wanted, memory = _held_from_zero(policy, seen, wanted, memory, now, why)
    return Decision(wanted, panicking, "; ".join(why)), memory


def _by_load(policy: Policy, seen: Observation, memory: Memory, now: float, why: list[str]) -> tuple[int, Memory]:
    """What load asks for, within what one step may change, and never less while panicking."""
    ready = max(1, seen.ready)
    empty = seen.stable == 0 and seen.panic == 0 and seen.quiet_for >= policy.stable_window
    ceiling = ceil(policy.max_scale_up_rate * ready)
    bottom = floor(ready / policy.max_scale_down_rate) if seen.reachable and not empty else 0
    for_waiting = ceil(seen.waiting / policy.capacity)
    by_stable = ceil((seen.stable or 0.0) / policy.target)
    by_panic = max(ceil((seen.panic or 0.0) / policy.target), for_waiting)
    stable = _activated(policy, min(max(by_stable, bottom, min(1, for_waiting)), ceiling))
    burst = _activated(policy, min(max(by_panic, bottom), ceiling))
    if empty and not seen.waiting:
        memory = replace(memory, panic_since=None, panic_peak=0)
    memory = _panic(policy, memory, over=by_panic / ready >= policy.panic_threshold, now=now)

    if seen.waiting:
        why.append(f"{seen.waiting} waiting, {policy.capacity:g} fit into one: needs {for_waiting}")
    if seen.stable is None:
        why.append(f"no data yet, holds {seen.replicas}")
        stable = max(stable, seen.replicas)
    else:
        why.append(f"{policy.metric} {seen.stable:.4g} over {policy.stable_window:g}s at target {policy.target:.4g}: needs {by_stable}")
        if stable != by_stable and not seen.waiting:
            why.append(_step(policy, by_stable, stable, bottom, ready))
    if memory.panic_since is None:
        return stable, memory
    peak = max(memory.panic_peak, stable, burst)
    why.append(
        f"panic: {policy.metric} {seen.panic or 0:.4g} over {policy.panic_window:g}s needs {by_panic} with {seen.ready} ready, holds {peak}"
    )
    return peak, replace(memory, panic_peak=peak)


def _first_of_all(policy: Policy, seen: Observation, wanted: int, memory: Memory, why: list[str]) -> tuple[int, Memory]:
    """While nothing is ready yet, only a part of many: instances that start at once share their nodes' processors, and the first
    would come as late as the last. The others follow when one is ready and they are still needed, or when that takes too long."""
    first = max(policy.activation_scale, ceil(wanted * policy.first_wave))
    if seen.ready or wanted <= max(first, seen.replicas) or (seen.replicas and seen.stalled_for >= policy.wave):
        return wanted, memory
    first = max(first, seen.replicas)
    why.append(f"{first} of {wanted} first, for nothing is ready")
    return first, replace(memory, panic_peak=min(memory.panic_peak, first))


def _activated(policy: Policy, wanted: int) -> int:
    return max(wanted, policy.activation_scale) if wanted > 0 else wanted


def _step(policy: Policy, asked: int, got: int, bottom: int, ready: int) -> str:
    if got == bottom > asked:
        return f"at most by {policy.max_scale_down_rate:g} in one step: {bottom}"
    return f"activation-scale {got}" if got > asked else f"at most {policy.max_scale_up_rate:g} times {ready} in one step: {got}"


def _panic(policy: Policy, memory: Memory, *, over: bool, now: float) -> Memory:
    """Over the threshold: panic, from now. Under it for a whole stable window: be calm again."""
    if over:
        return replace(memory, panic_since=now)
    if memory.panic_since is not None and memory.panic_since + policy.stable_window < now:
        return replace(memory, panic_since=None, panic_peak=0)
    return memory


def _delayed(policy: Policy, wanted: int, memory: Memory, now: float, why: list[str]) -> tuple[int, Memory]:
    """Shrink only to the most that was wanted during the scale-down delay."""
    if not policy.scale_down_delay:
        return wanted, memory
    kept = tuple((at, n) for at, n in memory.recent if at > now - policy.scale_down_delay and n > wanted)
    most = kept[0][1] if kept else wanted
    if most != wanted:
        why.append(f"scale-down-delay {policy.scale_down_delay:g}s holds {most}")
    return most, replace(memory, recent=(*kept, (now, wanted)))


def _unheard(policy: Policy, seen: Observation, wanted: int, why: list[str]) -> int:
    """Take nothing away on the word of gateways that have not said anything yet: one that has just begun to decide knows no load."""
    least = max(policy.stable_window, LISTEN)
    if wanted >= seen.replicas or seen.heard_for is None or seen.heard_for >= least:
        return wanted
    heard = f"for {seen.heard_for:.3g}s of {least:g}s" if seen.heard_for else "from none"
    why.append(f"gateways were heard {heard}, holds {seen.replicas}")
    return seen.replicas


def _bounded(policy: Policy, seen: Observation, wanted: int, why: list[str]) -> int:
    low = policy.min_scale if seen.reachable else 0
    name = "min-scale"
    if not seen.initialized and policy.initial_scale > low:
        low, name = policy.initial_scale, "until it is first ready, initial-scale"
    if wanted < low:
        why.append(f"{name} {low}")
        wanted = low
    if policy.max_scale and wanted > policy.max_scale:
        why.append(f"max-scale {policy.max_scale}")
        wanted = policy.max_scale
    if wanted == 0 and not policy.scale_to_zero and seen.replicas > 0:
        why.append("scale to zero is turned off")
        wanted = 1
    return wanted


def _held_from_zero(
    policy: Policy, seen: Observation, wanted: int, memory: Memory, now: float, why: list[str]
) -> tuple[int, Memory]:  # fmt: skip
    """Keep the last instance for the grace or retention period after nothing wants it any more."""
    if wanted > 0 or seen.replicas == 0:
        return wanted, replace(memory, zero_since=None)
    since = now if memory.zero_since is None else memory.zero_since
    if now - since < policy.zero_hold:
        why.append(f"retention: {now - since:.3g}s of {policy.zero_hold:g}s, keeps 1")
        return 1, replace(memory, zero_since=since)
    return 0, replace(memory, zero_since=since)


def _give_up(policy: Policy, seen: Observation, memory: Memory) -> tuple[Decision, Memory] | None:
    """Instances that never become ready are stopped after the progress deadline, until a request asks again."""
    if seen.ready or (seen.replicas == 0 and seen.waiting):
        return None
    protected = seen.initialized and policy.min_scale > 0 and seen.reachable
    if not memory.gave_up and (seen.replicas == 0 or seen.stalled_for < policy.gives_up or protected):
        return None
    why = f"not ready within {policy.progress_deadline:g}s: stopped until the next request"
    return Decision(0, False, why), Memory(gave_up=True)
