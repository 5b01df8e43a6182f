"""Structured log lines: JSON when a machine reads, one plain line when a person watches. Standard logging underneath."""

import json
import logging
import sys
from typing import TextIO

from kfn.clock import micro_timestamp

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, msg, the record's extra fields, and the traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": micro_timestamp(), "level": record.levelname.lower(), "logger": record.name, "msg": record.getMessage()}
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainFormatter(logging.Formatter):
    """`12:00:00 warning gateway.line  message`."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.name}  {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(*, level: str = "INFO", form: str = "json", stream: TextIO | None = None) -> None:
    """Send every record to `stream` (default stderr). `form` is json or plain."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(PlainFormatter() if form == "plain" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "asyncio", "uvicorn.error", "nats"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
