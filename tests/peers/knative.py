"""Knative's own commands, `kn` and `func`, as they are published, with a platform to act on: `kfn up` or a cluster.

The sessions in `kn_sessions.py` and `func_sessions.py` are what their users do; the tests on either platform give them one of these.
"""

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.harness import Platform, Result, run

if TYPE_CHECKING:
    from tests.cluster.platform import Platform as Installed

TOOLS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kfn" / "tools"
PATIENCE = 150.0  # seconds for one command: it waits for a pod on a machine that does other things too


def found(name: str) -> str:
    """From the PATH, else the newest of those in kfn's cache; empty if there is none."""
    here = [str(path) for path in TOOLS.glob(f"{name}-*/{name}") if os.access(path, os.X_OK)]
    return shutil.which(name) or max(here, key=lambda path: [int(number) for number in re.findall(r"\d+", path)], default="")


@dataclass
class Command:
    """`kn` or `func`, unmodified, in one namespace of a platform. What it was told and said is kept in `transcript`."""

    program: str
    env: Mapping[str, str]
    namespace: str
    domain: str  # a function is NAME.NAMESPACE.DOMAIN
    gateway: str  # http://ADDRESS:PORT
    home: Path  # so that nobody's settings count
    logs: Callable[[], Awaitable[str]]  # the platform's own, for a failure
    folder: Path | None = None
    address: str = ""  # what the public names of `named` resolve to, in a mount namespace of this command's own; needs root
    named: tuple[str, ...] = ()
    transcript: list[str] = field(default_factory=list)

    async def __call__(self, *args: str, check: bool = True, timeout: float = PATIENCE) -> Result:
        self.home.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, **self.env, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home)}
        where = () if self._placed(args) else ("--namespace", self.namespace)
        result = await run(*self._resolving(), self.program, *args, *where, env=env, timeout=timeout, folder=self.folder)
        self.transcript += [f"$ {Path(self.program).name} {' '.join(args)}", result.out + result.err]
        if check and result.code:
            raise AssertionError(f"{self.transcript[-2]}: exit code {result.code}\n{result.out}\n{result.err}\n{await self.logs()}")
        return result

    def _resolving(self) -> tuple[str, ...]:
        """The words before the command that have it find the functions of `named`, whose domain no name server knows."""
        if not self.named:
            return ()
        hosts = self.home / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{self.address} {' '.join(map(self.host, self.named))}\n")
        enter = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", enter, str(hosts))

    def _placed(self, args: tuple[str, ...]) -> bool:
        """A namespace is named already, or the command knows none."""
        return "-n" in args or "--namespace" in args or args[:1] in (("create",), ("version",), ("invoke",), ("config",))

    async def refused(self, *args: str) -> str:
        result = await self(*args, check=False)
        assert result.code == 1, result.out
        return result.err

    async def json(self, *args: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((await self(*args, "-o", "json")).out)
        return value

    def host(self, name: str) -> str:
        return f"{name}.{self.namespace}.{self.domain}"

    async def status(self, host: str) -> int:
        return (await self._asked(host))[0]

    async def text(self, name: str) -> str:
        """What a function answers, asked by its public name."""
        return (await self._asked(self.host(name)))[1]

    async def _asked(self, host: str) -> tuple[int, str]:
        import httpx

        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            answer = await http.get(self.gateway, headers={"Host": host})
            return answer.status_code, answer.text


def on(platform: Platform, program: str) -> Command:
    """For `kfn up`."""

    async def log() -> str:
        return platform.log[-2000:]

    kubeconfig = str(platform.data / "kubeconfig")
    domain = platform.facts["domain"].partition(":")[0]
    return Command(program, {"KUBECONFIG": kubeconfig}, "default", domain, platform.facts["gateway"], platform.data.parent / "home", log)


def on_cluster(platform: "Installed", program: str, namespace: str, home: Path) -> Command:
    """For a cluster with kfn on it."""

    async def log() -> str:
        return platform.logs("controller", tail=20)

    host, port = platform.gateway
    return Command(program, platform.env, namespace, platform.domain, f"http://{host}:{port}", home, log, address=host)


def tag_of(image: str) -> str:
    """A tag in the cluster's registry under which `image`, a reference with a digest, is kept."""
    import httpx

    registry, _, rest = image.partition("/")
    with httpx.Client(base_url=f"http://{registry}/v2/", trust_env=False, timeout=10) as http:
        tags: list[str] = http.get(f"{rest.partition('@')[0]}/tags/list").raise_for_status().json()["tags"]
        wanted = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"}
        digests = {
            tag: http.head(f"{rest.partition('@')[0]}/manifests/{tag}", headers=wanted).headers.get("docker-content-digest") for tag in tags
        }
    return next(tag for tag, digest in digests.items() if digest == image.partition("@")[2])


async def nothing() -> str:
    """The log of no platform."""
    return ""


@asynccontextmanager
async def namespace_on(platform: "Installed", name: str) -> AsyncIterator[None]:
    """A namespace for one session, gone with all that is in it."""
    platform.kubectl("create", "namespace", name)
    try:
        yield
    finally:
        platform.kubectl("delete", "namespace", name, "--wait=false")
