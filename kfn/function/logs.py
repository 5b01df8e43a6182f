"""Logs as JSON lines: one a request, and `logging` records with the trace id. What the function prints is left as it is."""

import asyncio
import logging
import os
import sys
from json.encoder import encode_basestring_ascii as quoted

from kfn.function import trace
from kfn.function.times import rfc3339


class JsonLines(logging.Formatter):
    """A record as one line of JSON; a traceback is one string in it."""

    def format(self, record: logging.LogRecord) -> str:
        line = (
            f'{{"time":"{rfc3339(record.created)}","level":"{record.levelname.lower()}",'
            f'"msg":{quoted(record.getMessage())},"logger":{quoted(record.name)}'
        )
        at = trace.current.get()
        if at is not None:
            line += f',"trace_id":"{at.trace_id}","request_id":{quoted(at.request_id)}'
        if record.exc_info:
            line += f',"traceback":{quoted(self.formatException(record.exc_info))}'
        return line + "}"


def configure(level: str) -> None:
    """Send `logging` to stderr as JSON lines, and let every print appear at once."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class RequestLog:
    """One line a request on stdout, written together once a turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int = 1) -> None:
        self._loop = loop
        self._fd = fd
        self._lines: list[str] = []

    def add(self, now: float, level: str, method: bytes, path: bytes, status: int, seconds: float, at: "trace.Trace | None") -> None:
        trace_id, request_id = (at.trace_id, at.request_id) if at else ("", "")
        line = (
            f'{{"time":"{rfc3339(now)}","level":"{level}","msg":"request","method":"{method.decode("latin-1")}",'
            f'"path":{quoted(path.decode("latin-1"))},"status":{status},"ms":{seconds * 1000:.2f},'
            f'"trace_id":"{trace_id}","request_id":{quoted(request_id)}}}\n'
        )
        if not self._lines:
            self._loop.call_soon(self.flush)
        self._lines.append(line)

    def flush(self) -> None:
        if not self._lines:
            return
        data = "".join(self._lines).encode()
        self._lines.clear()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:  # nobody reads the logs any more: serving matters more
            return
