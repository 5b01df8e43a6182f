"""The warm parent: a process that has imported what its functions need and forks one instance per request of the node.

Run as a plain file by the node with the function's own interpreter, so standard library only. It owns its children:
it reports their ends, and when the node goes away it takes their process groups with it. When it is quiet it forks one child ahead,
the spare, which gets ready as far as it can without knowing what it will be. What a child then does is
`kfn.function.main` (or the command that it was given); which child to start and when is the node's decision.
"""

import array
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
HEADER = struct.Struct("!I")
MAX_FDS = 8
QUIET = 0.25  # seconds without a message after which a spare is forked: not while an instance is starting
THREADS_END = 0.1  # seconds that a library's threads may take to disappear from /proc after a fork joined them

_libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Channel:
    """Length-prefixed JSON over a stream socket. A message's file descriptors travel beside it, counted in `fds`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._data = b""
        self._fds: list[int] = []

    def send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        body = json.dumps(message).encode()
        data = HEADER.pack(len(body)) + body
        if fds:
            data = data[socket.send_fds(self.sock, [data], fds) :]
        if data:  # who has all of it may have hung up, and even nothing cannot be sent to it then
            self.sock.sendall(data)

    def receive(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Read once and yield every complete message. Raises EOFError when the node is gone."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(MAX_FDS * 4))
        except ConnectionError:
            data, ancillary = b"", []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                self._fds += fds
        if not data:
            raise EOFError
        self._data += data
        while len(self._data) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._data)[0]
            if len(self._data) < end:
                return
            message = json.loads(self._data[HEADER.size : end])
            self._data = self._data[end:]
            count = message.get("fds", 0)
            fds_of_it, self._fds = self._fds[:count], self._fds[count:]
            yield message, fds_of_it


class Zygote:
    """Forks children on demand and reports `started` and `exit`. Single-threaded: a fork copies one thread only."""

    def __init__(self, channel: Channel, entry: str, life: int) -> None:
        self.channel = channel
        self.entry = entry
        self.life = life
        self.children: dict[int, str] = {}
        self.spare: tuple[int, Channel] | None = None
        self.wants_spare = bool(entry)
        self._wake_r, self._wake_w = os.pipe()
        for fd in (self._wake_r, self._wake_w):
            os.set_blocking(fd, False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.channel.sock, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        try:
            while True:
                heard = poll.poll(QUIET * 1000 if self.wants_spare and self.spare is None else None)
                for fd, _ in heard:
                    if fd == self._wake_r:
                        _drain(fd)
                self.reap()
                if not heard and self.wants_spare and self.spare is None:
                    self.prepare()
                if not select.select([self.channel.sock], [], [], 0)[0]:
                    continue
                for message, fds in self.channel.receive():
                    self.act(message, fds)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            for pid in self.children:
                _kill_group(pid, signal.SIGKILL)

    def act(self, message: dict[str, Any], fds: list[int]) -> None:
        if message["op"] == "start":
            self.start(message, fds)
        elif message["op"] == "signal":
            for pid, name in self.children.items():
                if name == message["id"]:
                    _kill_group(pid, message["signal"]) if message["group"] else os.kill(pid, message["signal"])

    def prepare(self) -> None:
        """Fork the spare. It says a byte when it can be used."""
        parent = os.getpid()
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            return  # the next start will say so, if it is still so
        if pid == 0:
            ours.close()
            self._become(None, [], parent, theirs)
        theirs.close()
        self.spare = pid, Channel(ours)

    def start(self, message: dict[str, Any], fds: list[int]) -> None:
        parent = os.getpid()
        pid = self._hand_over(message, fds)
        try:
            pid = os.fork() if pid is None else pid
        except OSError as error:
            self.channel.send({"event": "failed", "id": message["id"], "error": f"fork: {error}"})
            return
        finally:
            if os.getpid() == parent:
                for fd in fds:
                    os.close(fd)
        if pid == 0:
            self._become(message, fds, parent)
        self.children[pid] = message["id"]
        self.channel.send({"event": "started", "id": message["id"], "pid": pid})

    def _hand_over(self, message: dict[str, Any], fds: list[int]) -> int | None:
        """Let the spare be this child, if there is one and it is ready; answers its pid."""
        if self.spare is None or message.get("argv") or not select.select([self.spare[1].sock], [], [], 0)[0]:
            return None
        pid, channel = self.spare
        self.spare = None
        try:
            if not channel.sock.recv(1):
                return None  # it has ended
            channel.send(message, fds)
        except OSError:
            return None
        finally:
            channel.sock.close()
        return pid

    def reap(self) -> None:
        """Report every child that ended. The rest of its group goes first, while the zombie still holds the group's id."""
        while self.children or self.spare:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            name = self.children.pop(pid, None)
            if self.spare is not None and self.spare[0] == pid:
                self.spare[1].sock.close()
                self.spare, self.wants_spare = None, False  # it ended by itself: the next one would too
            if name is not None:
                _kill_group(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            if name is not None:
                self.channel.send({"event": "exit", "id": name, "code": max(code, 0), "signal": max(-code, 0)})

    def _become(self, message: dict[str, Any] | None, fds: list[int], parent: int, told: socket.socket | None = None) -> None:
        """Never returns: the forked child. A spare has no message yet; it hears it from `told`."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            spare = [self.spare[1].sock.fileno()] if self.spare else []
            for fd in (self.channel.sock.fileno(), self._wake_r, self._wake_w, *spare):
                os.close(fd)
            os.setsid()
            _tie_to(parent, self.life)
            if message is None and told is not None:
                message, fds = wait_for_part(told, self.entry)
            if message is not None:
                code = run_child(message, fds, self.entry)
        except SystemExit as stop:
            if isinstance(stop.code, str):
                sys.stderr.write(stop.code + "\n")
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError):
                    pass
            os._exit(code & 0xFF)


def wait_for_part(told: socket.socket, entry: str) -> tuple[dict[str, Any] | None, list[int]]:
    """As the spare: make what every child makes, once for show (`rehearse` beside the entry, if it has one), so that its pages are
    this process's own, then wait for the real thing. None: the zygote has gone."""
    rehearse = getattr(importlib.import_module(entry.partition(":")[0]), "rehearse", None)
    if rehearse is not None:
        try:
            rehearse()
        except Exception:
            traceback.print_exc()  # it only saves time
    channel = Channel(told)
    try:
        told.sendall(b"+")
        while True:
            for message, fds in channel.receive():
                told.close()
                return message, fds
    except (EOFError, OSError):
        return None, []


def run_child(message: dict[str, Any], fds: list[int], entry: str) -> int:
    """Turn a fresh copy of the zygote into an instance and run it to its end."""
    os.umask(0o022)  # as in a container; the platform's own is stricter
    files = dict(zip(message["files"], fds, strict=True))
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (files["log"], 1), (files["log"], 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(files["log"])
    command = bool(message.get("argv"))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL if command else signal.default_int_handler)
    if command:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, other programs rely on it
    _limit(message)
    environ = dict(message["env"])
    if "ready" in files:
        os.set_inheritable(files["ready"], True)
        environ["KFN_READY_FD"] = str(files["ready"])
    os.environ.clear()
    os.environ.update(environ)
    if message.get("cwd"):
        os.chdir(message["cwd"])
    argv = message.get("argv")
    if argv:
        try:
            os.execvpe(argv[0], argv, environ)  # noqa: S606 - a container's command is a list, no shell
        except OSError as error:
            sys.stderr.write(f"cannot run {argv[0]!r}: {error.strerror}\n")
            return 127 if isinstance(error, FileNotFoundError) else 126
    _name(message["name"])
    sys.argv = [message["name"]]
    sys.path[:0] = message["path"]
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    module, _, function = entry.partition(":")  # it enables the collector once it has started: a pass now would copy every page
    result = getattr(importlib.import_module(module), function)()
    return int(result or 0)


def _tie_to(parent: int, life: int) -> None:
    """End with the parent, however it ends. Where the kernel does not offer that, a thread waits for the node's pipe to close."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(137)
        if life >= 0:
            os.close(life)
    elif life >= 0:
        os.set_inheritable(life, False)

        def watch() -> None:
            os.read(life, 1)
            os.killpg(0, signal.SIGKILL)

        threading.Thread(target=watch, daemon=True, name="kfn-life").start()


def _limit(message: dict[str, Any]) -> None:
    for procs in message.get("cgroup") or []:
        with open(procs, "w") as file:
            file.write(str(os.getpid()))
    for name, wanted in (message.get("limits") or {}).items():
        which = getattr(resource, f"RLIMIT_{name.upper()}")
        hard = resource.getrlimit(which)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (value, value))


def _name(name: str) -> None:
    if _libc is not None:
        word = name.encode()
        _libc.prctl(PR_SET_NAME, word if len(word) < 16 else word[:9] + word[-6:], 0, 0, 0)  # the kernel keeps 15 bytes


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the latter for a group of zombies
        pass


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def foreign_threads() -> int:
    """Threads beside this one that survive a fork. Libraries such as OpenBLAS join their pool before a fork, and that is fine:
    so fork once for real and count after it."""
    if not os.path.isdir("/proc/self/task"):
        return threading.active_count() - 1
    if len(os.listdir("/proc/self/task")) == 1:
        return 0
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    end = time.monotonic() + THREADS_END
    while (count := len(os.listdir("/proc/self/task")) - 1) and time.monotonic() < end:
        select.select([], [], [], 0.002)
    return count


def warm(imports: list[str], preload: list[str]) -> dict[str, Any] | None:
    """Import everything; `module:function` in `imports` is also called.

    Answers the message that names the first preload module that cannot be in a zygote, if any.
    """
    for name in imports:
        module, _, function = name.partition(":")
        try:
            imported = importlib.import_module(module)
            if function:
                getattr(imported, function)()
        except BaseException as error:
            return {"event": "broken", "error": f"cannot import {name}: {type(error).__name__}: {error}"}
    for name in preload:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return {"event": "dropped", "module": name, "error": f"its import failed: {type(error).__name__}: {error}"}
        if count := foreign_threads():
            return {"event": "dropped", "module": name, "error": f"its import started {count} thread(s), which do not survive a fork"}
    return None


def main() -> None:
    config = json.loads(sys.argv[1])
    if _libc is not None:  # until children exist: a hanging import must not outlive the node
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != config["parent"]:
            return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:0] = config["path"]
    for folder in config["deps"]:
        importlib.import_module("site").addsitedir(folder)  # as `start.py` in a container: behind the standard library, with `.pth` files
    sys.dont_write_bytecode = True
    channel = Channel(socket.socket(fileno=config["socket"]))
    channel.sock.set_inheritable(False)
    began = time.monotonic()
    problem = warm(config["imports"], config["preload"])
    if problem:
        channel.send(problem)
        return
    _name(config["name"])
    gc.disable()
    gc.collect()
    gc.freeze()
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)  # from here on the socket's end says it, so that children's groups go first
    channel.send({"event": "up", "pid": os.getpid(), "seconds": time.monotonic() - began})
    Zygote(channel, config["entry"], config["life"]).serve()


if __name__ == "__main__":
    main()
