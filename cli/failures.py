"""What a command says and which exit code it leaves when something failed. 1 failed, 2 usage, 3 your source, 4 not allowed,
5 unreachable, 75 try again, 124 timed out, 130 interrupted."""

import os
import traceback

from kfn.kube import errors
from kfn.kube.config import ConfigError


class CliError(Exception):
    """A failure with a message for a person and an exit code for a script."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def explain(error: BaseException) -> tuple[str, int]:
    """The message and the exit code for any failure; `KFN_DEBUG=1` adds the traceback."""
    if os.environ.get("KFN_DEBUG"):
        traceback.print_exception(error)
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return str(error), code
    match error:
        case ConfigError():
            return str(error), 2
        case errors.Unreachable():
            return f"{error}. Is the platform running (`kfn up`)?", 5
        case errors.Forbidden():
            return f"not allowed: {error}", 4
        case errors.Invalid():
            return str(error), 3
        case errors.KubeError():
            return str(error), 1
        case TimeoutError():
            return str(error) or "timed out", 124
        case _:
            return f"{type(error).__name__}: {error} (set KFN_DEBUG=1 for the traceback)", 1
