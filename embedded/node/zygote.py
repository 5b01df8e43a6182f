"""The node's end of one zygote: starts the process, sends it what to fork, and hears how the children end.

Restarts it when it dies, without a preload module that does not fit. Which zygotes there are is `pool.py`'s business;
what happens inside one is `kfn/function/zygote.py`'s.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

import kfn.function
from embedded.node.errors import StartFailed
from embedded.node.process import Exit, Launch, Process, Warmth
from kfn.function.zygote import HEADER, Channel

log = logging.getLogger(__name__)

PROGRAM = Path(kfn.function.__file__).parent / "zygote.py"
FLAGS = ("-I", "-S", "-u", "-X", "utf8")  # no user site, no .pth files, no platform packages
WARM_LIMIT = 60.0  # seconds that a zygote may take to import its preload list; then it goes without
START_LIMIT = 130.0  # seconds that a start waits for its zygote


class Zygote:
    """One warm parent. `run` keeps it alive; `start` forks from it."""

    def __init__(self, warmth: Warmth, name: str, *, marker: Mapping[str, str], life: int = -1) -> None:
        self.warmth = warmth
        self.name = name
        self.dropped: dict[str, str] = {}  # preload module -> why it is not warm
        self.children: dict[str, Process] = {}
        self.pid = 0
        self.broken = ""
        self._marker = dict(marker)
        self._life = life
        self._up = anyio.Event()
        self._channel: Channel | None = None
        self._unsent = bytearray()
        self._count = 0

    async def run(self) -> None:
        """Keep the process running until cancelled; then end it, which ends its children."""
        delay = 0.1
        while True:
            began = anyio.current_time()
            dropped = len(self.dropped)
            try:
                await self._once()
            except OSError as error:
                self._hear({"event": "broken", "error": f"{self.warmth.interpreter}: {error}"})
            if len(self.dropped) > dropped:
                continue
            delay = 0.1 if anyio.current_time() - began > 60 else min(delay * 2, 30.0)
            if self.broken:
                log.error("zygote %s cannot start: %s; trying again in %.2g s", self.name, self.broken, delay)
            else:
                log.warning("zygote %s died; starting it again in %.2g s", self.name, delay)
            await anyio.sleep(delay)

    async def start(self, launch: Launch, log_fd: int, ready_fd: int | None) -> Process:
        """Fork an instance. Takes over both descriptors. Raises StartFailed if there is no zygote to fork from."""
        fds = [log_fd] if ready_fd is None else [log_fd, ready_fd]
        try:
            if not self._up.is_set():
                with anyio.move_on_after(START_LIMIT):
                    await self._up.wait()
            if self.broken or self._channel is None:
                raise StartFailed(f"the warm parent process cannot start: {self.broken or 'it died'}")
            self._count += 1
            key = str(self._count)
            process = self.children[key] = Process(self.send, key)
            message = {
                "op": "start", "id": key, "files": ["log", "ready"][: len(fds)], "fds": len(fds), "name": launch.name,
                "env": dict(launch.env), "cwd": launch.cwd, "path": launch.path, "argv": launch.argv,
                "limits": dict(launch.limits), "cgroup": launch.cgroup,
            }  # fmt: skip
            self.send(message, fds)
            return process
        finally:
            for fd in fds:
                os.close(fd)

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send now; what the socket does not take at once follows when it can. Descriptors go with the first byte."""
        channel = self._channel
        if channel is None:
            return
        body = json.dumps(message).encode()
        data = HEADER.pack(len(body)) + body
        if fds and self._unsent:
            channel.sock.setblocking(True)  # rare: keep descriptors and bytes in order
            channel.sock.sendall(self._unsent)
            self._unsent.clear()
        if not self._unsent:
            try:
                sent = socket.send_fds(channel.sock, [data], list(fds)) if fds else channel.sock.send(data)
            except BlockingIOError:
                channel.sock.setblocking(True)
                sent = socket.send_fds(channel.sock, [data], list(fds)) if fds else channel.sock.send(data)
            except OSError:
                return  # it died: the reader sees that too and reports it
            finally:
                channel.sock.setblocking(False)
            data = data[sent:]
        if data:
            if not self._unsent:
                asyncio.get_running_loop().add_writer(channel.sock.fileno(), self._flush)
            self._unsent += data

    def _flush(self) -> None:
        if self._channel is None:
            return
        sock = self._channel.sock
        try:
            del self._unsent[: sock.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(sock.fileno())

    async def _once(self) -> None:
        """One life of the process."""
        loop = asyncio.get_running_loop()
        gone = anyio.Event()
        process, channel = self._spawn()
        self._channel, self.pid = channel, process.pid
        if self.broken:
            self.broken, self._up = "", anyio.Event()

        def readable() -> None:
            try:
                for message, _ in channel.receive():
                    self._hear(message)
            except BlockingIOError:
                pass
            except (EOFError, OSError):
                loop.remove_reader(channel.sock.fileno())
                gone.set()

        loop.add_reader(channel.sock.fileno(), readable)
        up = self._up
        patience = loop.call_later(WARM_LIMIT, lambda: None if up.is_set() else self._give_up(process))
        try:
            await gone.wait()
        finally:
            patience.cancel()
            loop.remove_reader(channel.sock.fileno())
            loop.remove_writer(channel.sock.fileno())
            self._channel = None
            self._unsent.clear()
            if self._up.is_set() and not self.broken:
                self._up = anyio.Event()
            channel.sock.close()
            with anyio.CancelScope(shield=True):
                await _reap(process)
            for child in self.children.values():
                child.settle(Exit(0, signal.SIGKILL, orphaned=True))
            self.children.clear()

    def _give_up(self, process: "subprocess.Popen[bytes]") -> None:
        why = f"its import took more than {WARM_LIMIT:g} s"
        slow = [module for module in self.warmth.preload if module not in self.dropped]
        self.dropped.update(dict.fromkeys(slow, why))
        if not slow:
            self._hear({"event": "broken", "error": why})
        log.warning("zygote %s goes without %s: %s", self.name, ", ".join(slow) or "anything", why)
        process.kill()

    def _spawn(self) -> tuple["subprocess.Popen[bytes]", Channel]:
        ours, theirs = socket.socketpair()
        preload = [module for module in self.warmth.preload if module not in self.dropped]
        config = {
            "socket": theirs.fileno(), "life": self._life, "parent": os.getpid(), "name": self.name, "path": self.warmth.path,
            "deps": self.warmth.deps, "imports": self.warmth.imports, "preload": preload, "entry": self.warmth.entry,
        }  # fmt: skip
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "TZ")} | self._marker
        try:
            process = subprocess.Popen(
                [self.warmth.interpreter, *FLAGS, str(PROGRAM), json.dumps(config)], env=env, cwd="/", stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno(), *([self._life] if self._life >= 0 else [])], start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return process, Channel(ours)

    def _hear(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "up":
            log.info("zygote %s is warm after %.0f ms", self.name, message["seconds"] * 1000)
            self._up.set()
        elif event == "dropped":
            self.dropped[message["module"]] = message["error"]
            log.warning("zygote %s goes without %s: %s", self.name, message["module"], message["error"])
        elif event == "broken":
            self.broken = message["error"]
            self._up.set()
        elif event == "started":
            process = self.children[message["id"]]
            process.pid = message["pid"]
            process.started.set_result(process.pid)
        elif event == "exit":
            self.children.pop(message["id"]).settle(Exit(message["code"], message["signal"]))
        elif event == "failed":
            process = self.children.pop(message["id"])
            log.error("zygote %s: %s", self.name, message["error"])
            process.settle(Exit(128))


async def _reap(process: "subprocess.Popen[bytes]") -> None:
    """The socket is closed, so it ends by itself and takes its children along; kill it if it does not."""
    for _ in range(40):
        if process.poll() is not None:
            return
        await anyio.sleep(0.025)
    process.kill()
    process.wait()
