"""kfn up: every part in one process, on one event loop, against the API server in the same process. Read `_platform` first.

Infrastructure (API server, nats-server, node) is outside, what serves is inside, so that at the end requests are drained
before instances stop, and everything is written before the store closes.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette

from autoscaler import app as autoscaler
from autoscaler import receive
from autoscaler import settings as autoscaler_settings
from builder.cluster import app as builds
from builder.cluster import settings as builds_settings
from controller import app as controller
from controller import settings as controller_settings
from embedded import addresses, admin, buildjobs, buildprocess, datadir, https, imagekeeper, jobs, tls
from embedded.api import app as api
from embedded.api.http import http_app
from embedded.api.journal import JournalError
from embedded.api.local import LocalTransport
from embedded.api.server import ApiServer
from embedded.nats import NatsError, NatsServer, nats_server, secret
from embedded.node import app as node
from embedded.node import settings as node_settings
from eventing import app as eventing
from eventing import settings as eventing_settings
from gateway import app as gateway
from gateway import settings as gateway_settings
from gateway.tls.certificates import CertificateError, Certificates
from kfn import groups, open_files
from kfn.kube.client import Client
from kfn.observe import otel, web
from kfn.observe.lines import LinesError
from kfn.part import authority, reachable, running, settled
from kfn.version import VERSION

log = logging.getLogger(__name__)

_LIFE = 400 * 86400.0  # seconds that a function has its credentials for NATS: they are in a file that is written at its start only
_BUILDS = max(2, os.cpu_count() or 1)  # at once


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about one embedded platform that can be chosen."""

    data_dir: Path
    host: str = "127.0.0.1"  # where the gateway listens; the API server and the rest stay on loopback
    port: int = 8080  # the gateway's; 0 picks a free one
    drain: float = 10.0  # seconds that requests under way have at the end
    access_log: str = ""  # the gateway's, see there
    access_log_sample: float = 1.0
    tracing: otel.Tracing | None = None
    tls_port: int | None = None  # the gateway's HTTPS, see there; without files it has a certificate of the platform's own authority
    tls_files: tuple[tuple[str, str], ...] = ()
    tls_redirect: bool = False
    autoscaler: autoscaler_settings.Settings = field(default_factory=autoscaler_settings.Settings)


def main(settings: Settings, say: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; raises what it cannot start for, with the fix."""
    os.umask(0o077)  # state, logs, unpacked Secrets: nobody else's, whatever the shell says and wherever the directory is copied to
    Certificates(settings.tls_files).start()  # what is wrong with them is said before anything is started
    try:
        anyio.run(run, settings, say, backend_options={"use_uvloop": True})
    except BaseExceptionGroup as group:
        known, rest = group.split(
            (datadir.DataDirError, JournalError, web.ListenError, NatsError, LinesError, otel.OtelError, CertificateError)
        )
        if rest is None and known is not None:
            raise groups.first(known) from None
        busy, _ = group.split(OSError)
        if busy is not None:
            raise web.ListenError(f"cannot start on {settings.host}:{settings.port}: {groups.first(busy)}. Choose another --port") from None
        raise
    return 0


async def run(settings: Settings, say: Callable[[str], None]) -> None:
    with datadir.locked(settings.data_dir):
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            tasks.start_soon(_signals, stop)
            async with _platform(settings) as facts:
                datadir.write_platform(settings.data_dir, facts)
                settled()
                try:
                    _say(say, _ready_line(facts, settings.data_dir))
                    await stop.wait()
                finally:
                    datadir.clear_platform(settings.data_dir)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _platform(settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """Start everything, innermost last; give the facts of platform.json; stop everything in the opposite order."""
    data = settings.data_dir
    token = datadir.token(data)
    async with AsyncExitStack() as stack:
        doors = stack.enter_context(addresses.claimed(data))
        server = await stack.enter_async_context(api.open_server(data / "state.db"))
        nats = await stack.enter_async_context(nats_server(data / "nats", keys=secret(data / "nats")))
        nats.on_restart = lambda: datadir.note_pid(data, "nats-server", nats.pid)
        certificate = tls.ensure(data / "tls", ["localhost", "127.0.0.1", "::1"])

        scaler = autoscaler.Autoscaler(_client(server, "system:kfn:autoscaler"), settings.autoscaler)
        own = None
        if settings.tls_port is not None and not settings.tls_files:
            own = https.OwnCertificate(data / "tls", settings.host, _client(server, "system:kfn:certificates"))
        front = gateway.Gateway(_client(server, "system:kfn:gateway"), scaler, _gateway_settings(settings, own))
        # A pod is ended when the gateway has nothing under way on it.
        machines = node.Node(_client(server, "system:node:kfn-local"), node_settings.Settings(data=data, images=data / "images"), front)
        await stack.enter_async_context(running("node", machines.run))
        await stack.enter_async_context(_builds(server, data, machines))
        await stack.enter_async_context(running("jobs", jobs.Jobs(_client(server, "system:kfn:jobs")).run))

        await stack.enter_async_context(running("images", lambda: imagekeeper.run(_client(server, "system:kfn:images"), data / "images")))

        await stack.enter_async_context(running("autoscaler", scaler.run))

        await stack.enter_async_context(_serving("gateway", front.run))
        if own is not None and front.https is not None:
            await stack.enter_async_context(running("certificate", partial(own.run, partial(front.https.certificates.check, closely=True))))
        domain = f"localhost:{front.port}" if front.port != 80 else "localhost"

        manager = controller.Controller(_client(server, "system:kfn:controller"), controller_settings.Settings(domain=domain), events=True)
        await stack.enter_async_context(running("controller", manager.run))

        bus = eventing.Eventing(
            _client(server, "system:kfn:eventing"),
            _bus_settings(nats, _inside(settings, front), token, _api(doors)),
        )
        await stack.enter_async_context(_serving("eventing", partial(bus.run, sock=doors["events"])))

        loads = receive.Receiver(scaler, token, settings.autoscaler)
        pages = admin.app(front, scaler, loads, bus, token)
        await stack.enter_async_context(_doors(server, pages, loads, doors, certificate, token))
        datadir.write_kubeconfig(data, server=_api(doors), ca_pem=certificate.ca_pem, token=token)
        yield {
            "version": VERSION,
            "pid": os.getpid(),
            "pids": {"kfn": os.getpid(), "nats-server": nats.pid},
            "gateway": f"http://{authority(settings.host, front.port)}",
            **({"gateway_tls": f"https://{authority(settings.host, front.https.port)}"} if front.https else {}),
            **({"gateway_local": f"http://127.0.0.1:{front.local_port}"} if front.local_port != front.port else {}),
            "domain": domain,
            "api": _api(doors),
            "events": f"http://127.0.0.1:{bus.port}",
            "admin": f"http://127.0.0.1:{addresses.port(doors['admin'])}",
            "nats": nats.url,
            "images": str(data / "images"),
            "data": str(data),
        }


@asynccontextmanager
async def _builds(server: ApiServer, data: Path, machines: node.Node) -> AsyncIterator[None]:
    """`kfn build --remote` on this machine: the controller of Builds, and what runs their Jobs as processes. It serves the logs of both."""
    jobs = buildjobs.BuildJobs(_client(server, "system:node:kfn-builds"), buildprocess.Settings(data))
    server.logs = jobs.logs(machines.logs)
    settings = builds_settings.Settings(per_namespace=_BUILDS, in_all=_BUILDS)
    async with (
        running("build jobs", jobs.run),
        running("builds", builds.Builds(_client(server, "system:kfn:builds"), settings).run),
    ):
        yield


@asynccontextmanager
async def _doors(
    server: ApiServer, pages: Starlette, loads: receive.Receiver, sockets: dict[str, socket.socket], certificate: tls.Tls, token: str
) -> AsyncIterator[None]:
    """Serve the API and the admin pages. At the end what lasts goes first, or a `kubectl get -w` or a gateway would be waited for."""
    pem = web.Certificate(certificate.cert_path, certificate.key_path)
    async with (
        web.serving(http_app(server, token), sock=sockets["api"], certificate=pem, drain=1),
        web.serving(pages, sock=sockets["admin"], drain=1),
    ):
        try:
            yield
        finally:
            server.end_watches()
            loads.end()


def _api(sockets: dict[str, socket.socket]) -> str:
    return f"https://127.0.0.1:{addresses.port(sockets['api'])}"


def _gateway_settings(settings: Settings, own: https.OwnCertificate | None) -> gateway_settings.Settings:
    """Where others than this machine's users can ask, answers tell nothing of a function's log or of other functions' names, and names
    in the cluster, which is where cluster-local functions are, have a port of their own on loopback."""
    private = settings.host == "localhost" or settings.host.startswith("127.") or settings.host == "::1"
    return gateway_settings.Settings(
        host=settings.host,
        port=settings.port,
        local_port=None if private else 0,
        drain=settings.drain,
        tell=private,
        suggest=private,
        connections=_connections(),
        access_log=settings.access_log,
        access_log_sample=settings.access_log_sample,
        tracing=settings.tracing,
        tls_port=settings.tls_port,
        tls_files=settings.tls_files if own is None else (own.files(),),
        redirect=settings.tls_port or 0 if settings.tls_redirect else 0,
    )


def _inside(settings: Settings, front: gateway.Gateway) -> tuple[str, int]:
    """Where the platform's own parts find functions by their names in the cluster."""
    return ("127.0.0.1", front.local_port) if front.local_port != front.port else (reachable(settings.host), front.port)


def _connections() -> int:
    """A third of the files for clients, as much for connections to instances, the rest for everything else."""
    return max(10, min(gateway_settings.Settings().connections, open_files.most() // 3))


def _client(server: ApiServer, user: str) -> Client:
    return Client(LocalTransport(server, user))


def _bus_settings(nats: NatsServer, gateway: tuple[str, int], token: str, api_server: str) -> eventing_settings.Settings:
    return eventing_settings.Settings(**nats.login, gateway=gateway, token=token, api_server=api_server, nats_credential_life=_LIFE)


@asynccontextmanager
async def _serving(name: str, run: Callable[..., Any]) -> AsyncIterator[None]:
    """As `running`, for a part with a port: the block begins when it listens."""
    started = anyio.Event()
    async with running(name, lambda: run(started=started.set)):
        with anyio.fail_after(30):
            await started.wait()
        yield


async def _signals(stop: anyio.Event) -> None:
    """The first signal stops in order, a second one at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set():
                log.warning("second signal: leaving at once")
                sys.stderr.flush()
                os._exit(130)
            log.info("%s: stopping", signal.Signals(number).name)
            stop.set()


def _say(say: Callable[[str], None], line: str) -> None:
    """A reader of stdout that is gone already is no reason to stop."""
    try:
        say(line)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered would make an error of the process's end
        log.warning("nobody reads this: %s (%s)", line, error)


def _ready_line(facts: dict[str, Any], data: Path) -> str:
    secure = f" https={facts['gateway_tls']}" if "gateway_tls" in facts else ""
    return f"ready gateway={facts['gateway']}{secure} api={facts['api']} events={facts['events']} kubeconfig={data / 'kubeconfig'}"
