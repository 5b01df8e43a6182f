"""The embedded API server's settings, each with its unit and default."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Defaults fit one developer's machine."""

    history: int = 1024
    """Changes kept per kind for watches to resume from, each up to 10 KB of memory; older ones are answered with 410."""
    watch_backlog: int = 8192
    """Events that one slow watch may leave unread before it is ended with 410."""
    watch_seconds: float = 1800.0
    """Seconds after which a watch that named no timeout is ended; clients open it again."""
    bookmark_seconds: float = 60.0
    """Seconds between the bookmarks of a quiet watch."""
    events: int = 2000
    """Events kept; the oldest go first. Kubernetes forgets them by the hour, a laptop by the number."""
    version_block: int = 1_000_000
    """resourceVersions reserved on disk at a time, so that volatile writes need no disk write and versions never go back."""
    max_state_mib: int = 2048
    """MiB that the state file may grow to; beyond it writes are refused with 507."""
    busy_seconds: float = 5.0
    """Seconds to wait for another process that holds the state file before giving up."""
    body_bytes: int = 3 * 1024 * 1024
    """Largest request body over HTTP, as etcd's limit makes it in Kubernetes."""
    max_waits: int = 1000
    """Commits that a write to an object may have to wait for, when others get ahead of it, before a conflict is answered."""
