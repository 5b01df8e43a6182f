"""The autoscaler's settings: Knative's defaults for what a Revision does not say itself, and the loop's own times."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. Everything up to `scale_to_zero` can be changed for one Revision by its annotations."""

    stable_window: float = 60.0
    panic_window_percentage: float = 10.0  # of the stable window
    panic_threshold_percentage: float = 200.0  # of what the ready instances should carry
    target_utilization_percentage: float = 70.0
    concurrency_target: float = 100.0  # per instance, where containerConcurrency is 0
    rps_target: float = 200.0  # requests a second per instance
    initial_scale: int = 1
    min_scale: int = 0
    max_scale: int = 0  # 0 is no limit
    scale_down_delay: float = 0.0
    retention: float = 0.0  # keep the last instance this long after the stable window is empty
    progress_deadline: float = 600.0  # give up on instances that are not ready after this

    scale_to_zero: bool = True
    scale_to_zero_grace: float = 0.0  # Knative needs 30 s to put its activator into the path; kfn's gateway always is
    max_scale_up_rate: float = 1000.0  # times the ready instances, a decision
    max_scale_down_rate: float = 2.0
    first_wave: float = 1.0  # of many instances wanted where none is ready, the part that is started at once; the rest follows when
    wave: float = 1.0  # one is ready, or after so many seconds. Where a start takes a millisecond, all at once is best

    tick: float = 2.0
    patch_timeout: float = 5.0  # for one write of a scale; then it is tried again
    retry_max: float = 2.0  # longest pause between tries
    poke_memory: float = 60.0  # how long a poke for a Revision that is not there yet is remembered
    pokes_remembered: int = 10_000  # at most, of such Revisions
    decisions_kept: int = 100  # per Revision

    hear_first: bool = False  # gateways are other processes: take nothing away before they have reported for a stable window
    gateways: int = 1000  # processes that may report at once
    gateway_silence: float = 10.0  # seconds without a message after which a gateway's connection is taken for dead
    gateway_backlog: int = 2000  # messages that may wait for one gateway to take them; more are not said

    ask: float = 0.25  # how long gateways have to say what is under way on pods of which some are about to end
    mark: float = 1.0  # and how long all of choosing those pods may take; then the ReplicaSet controller chooses by itself
    marks: int = 100  # pods that one step down marks at most
