"""Decides what to show of a condition's message: a function's own error is in it once in full and once in short, after a traceback."""

import re
from collections.abc import Sequence

SUMMARY = "kfn: the function cannot start"  # kfn/function prints it before the error in short
PASSED_ON = re.compile(r'^Revision "[^"]+" failed with message: ')
LAST = 8  # lines kept of a traceback that has no summary


def brief(message: str) -> str:
    """The message without the traceback, as several lines; what is short stays as it is."""
    text = PASSED_ON.sub("", message.strip())
    lines = text.splitlines()
    if SUMMARY in lines:
        at = len(lines) - lines[::-1].index(SUMMARY)
        return "\n".join(lines[at:]).strip() or text
    if len(lines) > LAST + 1 and any(line.endswith("Traceback (most recent call last):") for line in lines):
        head = lines[0].removesuffix("Traceback (most recent call last):").strip()
        return "\n".join([head or "The instance failed:", *lines[-LAST:]])
    return text


def one_line(reason: str, message: str) -> str:
    """`Reason: first line`, for a column of a table."""
    lines = brief(message).splitlines()
    return ": ".join(part for part in (reason, lines[0].strip() if lines else "") if part)


def news(log: Sequence[str], told: str) -> list[str]:
    """The lines of a log that a message has not told already; none when it told the end of the log."""
    known = {line.strip() for line in told.splitlines()}
    return [] if log and log[-1].strip() in known else list(log)
