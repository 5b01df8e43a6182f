"""The function server's settings, read once from the environment (docs/runtime-contract.md)."""

from collections.abc import Mapping
from dataclasses import dataclass

from kfn.function.errors import BadSetting


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the platform and the developer can set."""

    host: str = ""  # KFN_HOST: address to listen on; empty means every interface
    port: int = 8080  # PORT
    source: str = "."  # KFN_SOURCE: folder of the source
    handler: str = ""  # KFN_HANDLER: `module:attribute`; empty means look for it
    concurrency: int = 0  # KFN_CONCURRENCY: threads for sync handlers; 0 means 32, or 1 for a class with `load`
    max_body: int = 16 * 1024 * 1024  # KFN_MAX_BODY: bytes; for handlers that take the whole body
    max_head: int = 64 * 1024  # bytes of request line and headers
    head_timeout: float = 60.0  # seconds in which a begun request's head must be complete
    idle_timeout: float = 620.0  # seconds a kept-alive connection may be silent; above the gateway's own
    drain_timeout: float = 300.0  # KFN_DRAIN_TIMEOUT: seconds that requests get to finish after SIGTERM
    ready_fd: int | None = None  # KFN_READY_FD
    spawned_at: float | None = None  # KFN_SPAWNED_AT: Unix time
    service: str = ""  # K_SERVICE
    namespace: str = ""  # KFN_NAMESPACE
    request_log: bool = True  # KFN_REQUEST_LOG: `off` for no line a request
    log_level: str = "INFO"  # KFN_LOG_LEVEL: level of the root logger

    @property
    def event_source(self) -> str:
        """The `source` of events that this function makes."""
        if not self.service:
            return "/kfn/function"
        return f"/apis/serving.knative.dev/v1/namespaces/{self.namespace or 'default'}/services/{self.service}"


def from_environ(env: Mapping[str, str]) -> Settings:
    """Read the settings, or say which variable is wrong."""
    default = Settings()
    ready_fd = env.get("KFN_READY_FD", "")
    spawned = env.get("KFN_SPAWNED_AT", "")
    return Settings(
        host=env.get("KFN_HOST", ""),
        port=_number(env, "PORT", default.port, 65535),
        source=env.get("KFN_SOURCE") or ".",
        handler=env.get("KFN_HANDLER", ""),
        concurrency=_number(env, "KFN_CONCURRENCY", 0, 1000),
        max_body=_number(env, "KFN_MAX_BODY", default.max_body, 2**40),
        drain_timeout=_number(env, "KFN_DRAIN_TIMEOUT", 300, 86400),
        ready_fd=_number(env, "KFN_READY_FD", 0, 2**20) if ready_fd else None,
        spawned_at=_time("KFN_SPAWNED_AT", spawned) if spawned else None,
        service=env.get("K_SERVICE", ""),
        namespace=env.get("KFN_NAMESPACE", ""),
        request_log=env.get("KFN_REQUEST_LOG", "on").lower() not in ("off", "false", "0", "no"),
        log_level=_level(env.get("KFN_LOG_LEVEL") or "INFO"),
    )


def _number(env: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) > highest:
        raise BadSetting(f"{name} is {text!r}; it must be a whole number from 0 to {highest}.")
    return int(text)


def _time(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadSetting(f"{name} is {text!r}; it must be a Unix time in seconds.") from None


def _level(text: str) -> str:
    level = text.upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise BadSetting(f"KFN_LOG_LEVEL is {text!r}; it must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    return level
