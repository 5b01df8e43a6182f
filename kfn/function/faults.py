"""A failure of the function's own code, told in a few lines: file and line, the line itself, what to do."""

import linecache
import os
import traceback
from types import FrameType, TracebackType

from kfn.function.errors import ImportFailed

REMEDY = "Correct it and deploy again."


def explain_failure(error: BaseException, source: str, doing: str = "import") -> ImportFailed:
    """The short story of an exception, for the last lines of the log."""
    if isinstance(error, SyntaxError) and error.filename:
        text = (error.text or linecache.getline(error.filename, error.lineno or 0)).rstrip("\n")
        caret = " " * (error.offset - 1) + "^" if error.offset and error.offset > 0 else ""
        where = f"{_relative(error.filename, source)}:{error.lineno}"
        lines = [f"{where}: {type(error).__name__}: {error.msg}", f"    {text}", f"    {caret}" if caret else "", REMEDY]
        return ImportFailed("\n".join(line for line in lines if line))
    where, line = _innermost(error.__traceback__, source)
    if isinstance(error, SystemExit):
        what, remedy = f"the module called sys.exit({error.code!r}) when it was imported", 'Put it under `if __name__ == "__main__":`.'
    else:
        what = traceback.format_exception_only(type(error), error)[-1].strip()
        remedy = REMEDY
    if isinstance(error, ModuleNotFoundError):
        remedy = f"Add the package that provides `{error.name}` to pyproject.toml or requirements.txt, and deploy again."
    if doing != "import":
        what = f"{what} (in `{doing}`)"
    return ImportFailed("\n".join(part for part in (f"{where}: {what}" if where else what, f"    {line}" if line else "", remedy) if part))


def _innermost(at: TracebackType | None, source: str) -> tuple[str, str]:
    """The last place inside the function's own source that the exception passed."""
    found: tuple[FrameType, int] | None = None
    while at is not None:
        if _inside(at.tb_frame.f_code.co_filename, source):
            found = (at.tb_frame, at.tb_lineno)
        at = at.tb_next
    if found is None:
        return "", ""
    name = found[0].f_code.co_filename
    return f"{_relative(name, source)}:{found[1]}", linecache.getline(name, found[1]).strip()


def _inside(name: str, source: str) -> bool:
    return name.startswith(source.rstrip(os.sep) + os.sep)


def _relative(name: str, source: str) -> str:
    return os.path.relpath(name, source) if _inside(name, source) else name
