"""The real Kafka: one broker in KRaft mode on loopback, from the jars that Maven fetches once into the user's cache.

    broker = Broker(folder)          # skips the test where Java or the jars are not to be had, and says which
    with broker.running():
        ...broker.address...
        broker.kill()                # kill -9
        broker.start()               # on the same port and log

A start takes 2 s and 4 s of processor time, and 200 MiB; its heap is bounded.
"""

import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kfn import process_death

POM = Path(__file__).parent / "pom.xml"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
JAVA = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
CLUSTER = "kfnkfnkfnkfnkfnkfnkfnw"
_taken: set[int] = set()
_HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME may be empty in tests


class Broker:
    """`dir` holds its log, which survives `kill`."""

    def __init__(self, dir: Path) -> None:
        self._jars, self.dir = jars(), dir
        dir.mkdir(parents=True, exist_ok=True)
        self.port, controller = _free_port(), _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        (dir / "server.properties").write_text(_properties(dir, self.port, controller))
        shutil.copytree(self._formatted(), dir / "log")

    @contextmanager
    def running(self) -> Iterator["Broker"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        """Return when it listens."""
        self._process = self._java("kafka.Kafka", str(self.dir / "server.properties"))
        end = time.monotonic() + 90
        while not self._listens():
            assert self._process.poll() is None, f"the broker ended; see {self.dir / 'broker.log'}"
            assert time.monotonic() < end, f"the broker does not listen; see {self.dir / 'broker.log'}"
            threading.Event().wait(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def _formatted(self) -> Path:
        """An empty log as the broker's own tool makes it: once, for it takes a second and a half."""
        folder = self._jars / "formatted"
        if not folder.exists():
            assert self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self.dir / "server.properties")).wait(120) == 0
            draft = folder.with_name(f".formatted-{os.getpid()}")
            shutil.copytree(self.dir / "log", draft)
            shutil.rmtree(self.dir / "log")
            try:
                draft.rename(folder)
            except OSError:  # another process was faster
                shutil.rmtree(draft)
        return folder

    def _java(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self.dir / "broker.log").open("ab") as log:
            return subprocess.Popen(
                ["java", *JAVA, "-cp", f"{self._jars}/*", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                preexec_fn=process_death.follow_parent(os.getpid()),
            )  # fmt: skip

    def _listens(self) -> bool:
        with socket.socket() as sock:
            sock.settimeout(1)
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


def jars() -> Path:
    """The folder with the jars, fetched if they are not there yet. Skips the test where they cannot be had."""
    folder = _HOME / ".cache/kfn/tools" / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"
    if shutil.which("java") is None:
        pytest.skip("java is not installed (Debian: default-jre-headless), so there is no Kafka to test with")
    if not folder.exists():
        _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    """43 MB, in 20 s. Where Maven looks for them is the environment's business."""
    if shutil.which("mvn") is None:
        pytest.skip("mvn is not installed (Debian: maven), which fetches the jars of Kafka")
    draft = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), COPY, "-DincludeScope=runtime", f"-DoutputDirectory={draft}"]
    try:
        made = subprocess.run(command, env={**os.environ, "HOME": str(_HOME)}, capture_output=True, text=True, timeout=240, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the jars of Kafka could not be fetched by mvn within four minutes")
    if made.returncode:
        shutil.rmtree(draft)
        said = next((line for line in made.stdout.splitlines() if "ERROR" in line), "it said nothing")
        pytest.skip(f"the jars of Kafka could not be fetched by mvn: {said[:200]}")
    try:
        draft.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(draft)


def _properties(dir: Path, port: int, controller: int) -> str:
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={dir / "log"}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.enable=false
num.network.threads=1
num.io.threads=2
"""


def _free_port() -> int:
    """Below those that the kernel gives to outgoing connections: one of these could take it while the broker is started again."""
    for port in range(15_000 + os.getpid() % 3000, 20_000):
        if port in _taken:
            continue
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            _taken.add(port)
            return port
    raise OSError("no free port between 15000 and 20000")
