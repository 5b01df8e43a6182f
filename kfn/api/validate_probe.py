"""Rules for probes: one handler each, on the port that carries the traffic, with thresholds that can be met."""

from kfn.api.core import Container, Probe
from kfn.api.errors import FieldError

_HANDLERS = ("http_get", "tcp_socket", "exec", "grpc")


def validate(container: Container, at: str, ports: set[int], *, serves: bool) -> list[FieldError]:
    errors = []
    for name, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            errors += _probe(probe, f"{at}.{name}", ports if serves else set())
    ready = container.readiness_probe
    if ready is not None and ready.period_seconds == 0:
        for json, value in (("timeoutSeconds", ready.timeout_seconds), ("failureThreshold", ready.failure_threshold)):
            if value:
                fix = "with periodSeconds 0 the platform probes as fast as it can; remove it or set periodSeconds"
                errors.append(FieldError(f"{at}.readinessProbe.{json}", f"not allowed: {fix}"))
    for name, other in (("livenessProbe", container.liveness_probe), ("startupProbe", container.startup_probe)):
        if other is not None and other.success_threshold > 1:
            errors.append(FieldError(f"{at}.{name}.successThreshold", f"{other.success_threshold} is not possible; it must be 1"))
    return errors


def _probe(probe: Probe, at: str, ports: set[int]) -> list[FieldError]:
    errors = []
    handlers = [h for h in _HANDLERS if getattr(probe, h) is not None]
    if len(handlers) != 1:
        said = "has no handler" if not handlers else "has several handlers"
        errors.append(FieldError(at, f"{said}; set exactly one of httpGet, tcpSocket, exec, grpc"))
    for json, value in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        if value < 0:
            errors.append(FieldError(f"{at}.{json}", f"{value} is negative; use 0 or more"))
    if probe.exec is not None and not probe.exec.command:
        errors.append(FieldError(f"{at}.exec.command", "missing; say what to run"))
    if probe.http_get is not None and probe.http_get.path and not probe.http_get.path.startswith("/"):
        errors.append(FieldError(f"{at}.httpGet.path", f"{probe.http_get.path!r} must begin with '/'"))
    return errors + _probe_port(probe, at, ports)


def _probe_port(probe: Probe, at: str, ports: set[int]) -> list[FieldError]:
    """A probe asks the port that carries the traffic (8080 if none is named). 0 or nothing means that one."""
    allowed = ports or {8080}
    for json, handler in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket), ("grpc", probe.grpc)):
        port = getattr(handler, "port", None)
        if isinstance(port, int) and port and not 1 <= port <= 65535:
            return [FieldError(f"{at}.{json}.port", f"{port} is not a port; leave it out to probe the function's port")]
        if isinstance(port, int) and port and ports and port not in allowed:
            known = ", ".join(map(str, sorted(allowed)))
            return [FieldError(f"{at}.{json}.port", f"{port} is not the function's port ({known}); leave it out or use that")]
    return []
