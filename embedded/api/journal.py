"""The state file: SQLite in WAL mode with synchronous=FULL, written by one thread that commits whatever waits as one transaction.

A future resolves only after the commit is on disk. Leaves what to write, and in which order versions are given out, to `store`.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from embedded.api.settings import Settings
from kfn.api.base import Json

SCHEMA_VERSION = 1
_BATCH = 512
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class JournalError(Exception):
    """The state file cannot be read or written."""


class Full(JournalError):
    """There is no room left for the state file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One durable object to write, or (`body` None) to remove."""

    resource: str
    namespace: str
    name: str
    version: int
    body: Json | None


@dataclass(frozen=True, slots=True)
class _Commit:
    row: Row | None
    body: bytes
    ceiling: int
    done: "asyncio.Future[None]"


class Journal:
    """Open it, `load()` once, then `write()` from the event loop; `close()` commits what is queued."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Commit | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        try:
            self._db = sqlite3.connect(path, timeout=settings.busy_seconds, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _explained(error, path) from error
        try:
            self._prepare(settings)
        except (sqlite3.Error, JournalError) as error:
            self._db.close()  # else its lock would stand in the way of the next try
            raise error if isinstance(error, JournalError) else _explained(error, path) from error
        self._thread = threading.Thread(target=self._run, name="kfn-state", daemon=True)
        self._thread.start()

    def load(self) -> tuple[list[Row], int]:
        """Every durable object, and the highest resourceVersion that may ever have been given out."""
        try:
            rows = self._db.execute("SELECT resource, namespace, name, version, body FROM objects").fetchall()
            ceiling = self._db.execute("SELECT value FROM counters WHERE name = 'ceiling'").fetchone()
            self._db.rollback()
        except sqlite3.Error as error:
            raise _explained(error, self._path) from error
        try:
            return [Row(r[0], r[1], r[2], r[3], msgspec.json.decode(r[4], type=dict)) for r in rows], int(ceiling[0]) if ceiling else 0
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise _damaged(self._path, error) from error

    def write(self, row: Row | None, ceiling: int = 0) -> "asyncio.Future[None]":
        """Queue one object (and a new version ceiling, if given). The future fails with `JournalError`."""
        # Encoded here and not in the thread, so that an object which cannot be fails its own writer only, not the whole batch.
        body = msgspec.json.encode(row.body) if row is not None else b""
        done: asyncio.Future[None] = self._loop.create_future()
        if self._closed:
            done.set_exception(JournalError(f"the state file {self._path} is closed: the platform is stopping"))
        else:
            self._queue.put(_Commit(row, body, ceiling, done))
        return done

    async def close(self) -> None:
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()

    def _prepare(self, settings: Settings) -> None:
        db = self._db
        # Exclusive: a second process cannot write behind this one's memory, and no shared-memory file is left by a kill.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise JournalError(f"{self._path}: this file system does not allow SQLite's WAL mode (got {mode}); use a local disk")
        db.execute("PRAGMA synchronous = FULL")
        page = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {settings.max_state_mib * 1024 * 1024 // page}")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise JournalError(f"{self._path} was written by a newer kfn (schema {found}, this one knows {SCHEMA_VERSION}): update kfn")
        if found < SCHEMA_VERSION:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    def _run(self) -> None:
        """The writer thread: block for one commit, take all that wait behind it, one transaction, one fsync."""
        while True:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            commits = [c for c in batch if c is not None]
            if commits:
                error = self._commit(commits)
                try:
                    self._loop.call_soon_threadsafe(_resolve, commits, error)
                except RuntimeError:  # the loop is closed: nobody waits for these any more
                    return
            if batch[-1] is None:
                return

    def _commit(self, commits: Sequence[_Commit]) -> JournalError | None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for commit in commits:
                self._put(commit)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                try:
                    self._db.execute("ROLLBACK")
                except sqlite3.Error:  # a failed COMMIT has rolled back already
                    pass
            return _explained(error, self._path)
        except Exception as error:  # whatever it is, those who wait must hear of it, and the thread must live
            return JournalError(f"the state file {self._path} cannot be written: {error!r}")
        return None

    def _put(self, commit: _Commit) -> None:
        if commit.ceiling:
            self._db.execute("INSERT OR REPLACE INTO counters VALUES ('ceiling', ?)", (commit.ceiling,))
        row = commit.row
        if row is None:
            return
        if row.body is None:
            self._db.execute(
                "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", (row.resource, row.namespace, row.name)
            )
            return
        values = (row.resource, row.namespace, row.name, row.version, commit.body.decode())
        self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", values)


def _resolve(commits: Sequence[_Commit], error: JournalError | None) -> None:
    for commit in commits:
        if not commit.done.done():
            if error is None:
                commit.done.set_result(None)
            else:
                commit.done.set_exception(error)


def _damaged(path: Path, error: Exception) -> JournalError:
    return JournalError(f"the state file {path} is damaged ({error}): move it away to start empty, or restore a copy")


def _explained(error: sqlite3.Error, path: Path) -> JournalError:
    # The primary result code is in the low byte; extended codes say which operation failed.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    text = f"the state file {path} cannot be written: {error}"
    if code == sqlite3.SQLITE_FULL:
        return Full(text)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalError(f"the state file {path} is in use by another process: stop the other kfn, or use another data directory")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, error)
    return JournalError(text)
