"""The local node's settings."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about the node that can be chosen. Times in seconds, sizes in bytes."""

    data: Path  # the platform's data directory; the node keeps layers/, logs/ and pods/ in it
    images: Path  # the image store (an OCI layout)
    name: str = "kfn-local"
    address: str = "127.0.0.1"  # where instances listen
    max_pods: int = 250
    backoff_first: float = 10.0  # second restart of a container; the first is at once
    backoff_max: float = 300.0
    backoff_reset: float = 600.0  # a container that ran this long starts over
    pull_backoff_first: float = 2.0  # looking again for a missing image; doubles up to backoff_max
    log_bytes: int = 10 * 1024 * 1024  # a container's log is rotated at this size
    log_files: int = 2
    pods_kept: int = 10  # logs of pods that are gone, for each revision
    logs_orphaned: float = 24 * 3600.0  # logs of a revision that is gone
    probe_first: float = 0.005  # between connection attempts while an instance starts; doubles
    probe_slowest: float = 0.1
    listen_patience: float = 5.0  # an instance that lives but does not listen is reported after this long
    grace: float = 30.0  # terminationGracePeriodSeconds when the pod gives none
    shutdown: float = 5.0  # what instances get when the whole node stops
    max_layer: int = 16 * 1024**3  # unpacked
    open_files: int = 65536  # RLIMIT_NOFILE of an instance
    imports: tuple[str, ...] = ("random", "kfn.function.main:preload")  # what a Python zygote always imports and calls
    entry: str = "kfn.function.main:main"  # what a forked instance calls

    @property
    def layers(self) -> Path:
        return self.data / "layers"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def pods(self) -> Path:
        return self.data / "pods"
