"""Wall-clock time, in one place. Everything else asks the event loop (`anyio.current_time`)."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The current time, timezone-aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


def timestamp(at: datetime | None = None) -> str:
    """RFC 3339 with seconds, as Kubernetes writes `metav1.Time`."""
    return (at or utcnow()).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(at: datetime | None = None) -> str:
    """RFC 3339 with microseconds, as Kubernetes writes `metav1.MicroTime`."""
    return (at or utcnow()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
