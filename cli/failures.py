"""What a command says and which exit code it leaves when something failed. 1 failed, 2 usage, 3 your source, 4 not allowed,
5 unreachable, 22 the function answered 400 or more, 75 try again, 124 timed out, 130 interrupted, 141 the reader of the output left."""

import os
import traceback

from kfn import groups
from kfn.kube import errors
from kfn.kube.config import ConfigError


class CliError(Exception):
    """A failure with a message for a person and an exit code for a script."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def no_namespace(name: str) -> CliError:
    return CliError(f"there is no namespace {name!r}; `kubectl create namespace {name}` makes it")


def explain(error: BaseException) -> tuple[str, int]:
    """The message and the exit code for any failure; `KFN_DEBUG=1` adds the traceback."""
    if os.environ.get("KFN_DEBUG"):
        traceback.print_exception(error)
    error = groups.first(error)
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return str(error), code
    match error:
        case ConfigError():
            return str(error), 2
        case errors.Unreachable():
            return _unreachable(str(error)), 5
        case errors.Forbidden():
            return f"not allowed: {error}. Is this the kubeconfig of the platform that runs now (--kubeconfig, $KUBECONFIG)?", 4
        case errors.NotFound() if (error.status.get("details") or {}).get("kind") == "namespaces":
            return str(no_namespace(str(error.status["details"].get("name")))), 1
        case errors.Invalid():
            return str(error), 3
        case errors.KubeError():
            return str(error), 1
        case TimeoutError():
            return str(error) or "timed out", 124
        case UnicodeError():
            return f"an argument or a file is not UTF-8 text: {error}", 2
        case OSError() if error.filename:
            return f"{os.fsdecode(error.filename)}: {error.strerror}", 1
        case _:
            return f"{type(error).__name__}: {error} (set KFN_DEBUG=1 for the traceback)", 1


def _unreachable(message: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return f"{message}. The kubeconfig (--kubeconfig, $KUBECONFIG) belongs to another platform than the one that listens there"
    return f"{message}. Is the platform running (`kfn up`)?"
