"""What kubectl shows in a cell: ages, a pod's status in one word, ports, selectors. Pure functions of an object's JSON."""

import json
from datetime import UTC, datetime
from typing import Any

from kfn.api.base import Json

NONE = "<none>"
UNKNOWN = "<unknown>"


def dig(obj: Any, *steps: str) -> Any:
    """The value at a path of keys, or None."""
    for step in steps:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def listed(obj: Json, *steps: str) -> str:
    """A list as an API server prints one."""
    return json.dumps(dig(obj, *steps) or [], separators=(",", ":"))


def ready(obj: Json, field: str) -> str:
    return condition(obj, "Ready", field)


def condition(obj: Json, type: str, field: str) -> str:
    conditions = dig(obj, "status", "conditions") or []
    return next((str(c.get(field) or "") for c in conditions if c.get("type") == type), "")


def job_status(obj: Json) -> str:
    """`Complete`, `Failed`, or what it is doing, as kubectl says it."""
    for type in ("Complete", "Failed"):
        if condition(obj, type, "status") == "True":
            return type
    return "Terminating" if dig(obj, "metadata", "deletionTimestamp") else "Running"


def age(stamp: str | None, now: datetime) -> str:
    """How long ago, as kubectl writes it: two units while they matter."""
    if not stamp:
        return UNKNOWN
    try:
        then = datetime.fromisoformat(stamp)
    except ValueError:
        return "<invalid>"
    seconds = int((now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds())
    if seconds < 0:
        return "0s" if seconds >= -2 else "<invalid>"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"


def pairs(labels: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items())) if labels else NONE


def containers(obj: Json, field: str) -> str:
    return ",".join(str(c.get(field) or "") for c in dig(obj, "spec", "template", "spec", "containers") or [])


def deployment_ready(obj: Json) -> str:
    wanted = dig(obj, "spec", "replicas")
    return f"{dig(obj, 'status', 'readyReplicas') or 0}/{1 if wanted is None else wanted}"


def pod_ready(obj: Json) -> str:
    statuses = dig(obj, "status", "containerStatuses") or []
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(dig(obj, 'spec', 'containers') or [])}"


def pod_restarts(obj: Json) -> str:
    return str(sum(int(s.get("restartCount") or 0) for s in dig(obj, "status", "containerStatuses") or []))


def pod_status(obj: Json) -> str:
    """The phase, or what keeps a container from running, as kubectl's STATUS."""
    status = obj.get("status") or {}
    shown = str(status.get("reason") or status.get("phase") or "Unknown")
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            shown = str(waiting["reason"])
        elif ended is not None:
            shown = str(ended.get("reason") or _ended(ended))
    if shown == "Completed" and any(dig(c, "state", "running") is not None for c in status.get("containerStatuses") or []):
        shown = "Running"
    return "Terminating" if dig(obj, "metadata", "deletionTimestamp") else shown


def _ended(state: Json) -> str:
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode') or 0}"


def service_ports(obj: Json) -> str:
    ports = dig(obj, "spec", "ports") or []
    return (
        ",".join(f"{p.get('port')}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol') or 'TCP'}" for p in ports)
        or NONE
    )


def slice_ports(obj: Json) -> str:
    return ",".join(str(p.get("port") or "*") for p in obj.get("ports") or []) or "<unset>"


def slice_addresses(obj: Json) -> str:
    found = [a for e in obj.get("endpoints") or [] for a in e.get("addresses") or []]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more or "<unset>"


def event_object(obj: Json) -> str:
    ref = obj.get("involvedObject") or {}
    return f"{str(ref.get('kind') or '').lower()}/{ref.get('name') or ''}"


def event_source(obj: Json) -> str:
    source = obj.get("source") or {}
    parts = (source.get("component") or obj.get("reportingComponent"), source.get("host"))
    return ", ".join(p for p in parts if p)


def event_last_seen(obj: Json, now: datetime) -> str:
    return age(obj.get("lastTimestamp") or obj.get("eventTime") or dig(obj, "metadata", "creationTimestamp"), now)


def event_first_seen(obj: Json, now: datetime) -> str:
    return age(obj.get("firstTimestamp") or obj.get("eventTime") or dig(obj, "metadata", "creationTimestamp"), now)
