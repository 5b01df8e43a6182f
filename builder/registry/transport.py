"""One request to a registry, with all that it may meet: login, redirect, a registry that is busy, a connection that breaks.

What the request is for, and what its answer means, is for client.py, upload.py and download.py.
"""

import logging
import random
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urljoin, urlsplit

import anyio

from builder.errors import BuildError, RegistryError, RegistryUnreachable, RegistryUntrusted
from builder.registry import answers, retry
from builder.registry.answers import Answer, shown
from builder.registry.auth import Authorizer
from builder.registry.credentials import CredentialFinder
from builder.registry.reference import HUB, HUB_HOST, ImageRef
from builder.registry.settings import RegistrySettings
from kfn import lighthttp
from kfn.clock import utcnow
from kfn.version import VERSION

if TYPE_CHECKING:
    import httpx

SMALL = 64 << 10  # bytes of an answer that is only read for its words
REDIRECTS = 5
POOL_WAIT = 600.0  # seconds for a free connection
_MOVED = (301, 302, 303, 307, 308)
_ONE_HOST = "all://{}"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class GivenUp(RegistryUnreachable):
    """The registry did not answer."""  # as often as was tried: what contains the request does not try again


class Body(Protocol):
    """Bytes to send, as often as it takes."""

    @property
    def length(self) -> int: ...

    def open(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """`doing` completes "does not let this user ... REPOSITORY". `replay`: it may be sent again when it is not known whether it arrived."""

    method: str
    ref: ImageRef
    url: str
    scopes: tuple[str, ...]
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    replay: bool = True
    limit: int = SMALL


class Transport:
    """An async context manager around httpx."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self.requests = 0  # that reached a registry or token server, or tried to
        self._finder = CredentialFinder(settings)
        self._authorizers: dict[str, Authorizer] = {}
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        lighthttp.prepare()
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they would log addresses, which may be signed and so secret
        if self.settings.ca_file:
            self._client("https:")  # what is wrong with that file is said at once
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    def _client(self, url: str) -> "httpx.AsyncClient":
        """One for addresses with TLS, one for those without: reading the system's certificates takes 25 ms, and loopback needs none."""
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        secure = not url.startswith("http:")
        if secure not in self._clients:
            settings = self.settings
            plain = {_host(one) for one in settings.plain_http} | set(_LOOPBACK)
            client = httpx.AsyncClient(
                timeout=httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout, pool=POOL_WAIT),
                verify=_trust(settings) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # which trusts nobody
                limits=httpx.Limits(max_connections=2 * settings.parallel + 8, max_keepalive_connections=2 * settings.parallel),
                headers={"User-Agent": f"kfn/{VERSION}", "Accept-Encoding": "identity"},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                mounts={_ONE_HOST.format(host): None for host in plain},  # never through a proxy
            )
            self._clients[secure] = client
            self._stack.push_async_callback(client.aclose)
        return self._clients[secure]

    def url(self, ref: ImageRef, path: str) -> str:
        """An address of the repository: `manifests/latest`."""
        host = HUB_HOST if ref.registry == HUB else ref.registry
        return f"{'http' if self.settings.is_plain(ref.registry) else 'https'}://{host}/v2/{ref.repository}/{path}"

    async def send(self, call: Call) -> Answer:
        """The answer, whatever its status, but for 401 and 403 (RegistryRefused). Its body is read up to `call.limit`."""
        async with self.stream(call) as response:
            return await self._whole(call.ref, response, call.limit)

    @asynccontextmanager
    async def stream(self, call: Call) -> "AsyncIterator[httpx.Response]":
        """The same with the body still to be read. Breaks while reading are errors of this module too."""
        import httpx

        response = await self._again(call)
        try:
            yield response
        except httpx.TransportError as error:
            raise _broken(call.ref, error) from error
        finally:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + 5):
                await response.aclose()

    async def _again(self, call: Call) -> "httpx.Response":
        """The first answer that does not say to try again."""
        import httpx

        failures = 0
        while True:
            problem: BuildError
            asked: float | None = None
            try:
                response = await self._authorized(call)
            except httpx.TransportError as error:
                problem = _broken(call.ref, error)
                if _hopeless(error):
                    raise GivenUp(problem.detail) from error
                if not isinstance(problem, RegistryUnreachable) or not call.replay:
                    raise problem from error
            else:
                if response.status_code not in retry.AGAIN:
                    return response
                answer = await self._end(call, response)
                asked = retry.retry_after(answer.header("retry-after"), utcnow())
                problem = RegistryUnreachable(f"{call.ref.registry} answers {answer.words}{_asks(asked)}")
                if answer.status != 429 and not call.replay:
                    raise problem
            failures += 1
            wait = retry.pause(self.settings, failures, random.random(), asked)  # noqa: S311
            if wait is None:
                raise GivenUp(f"{problem.detail}; given up after {failures} tries")
            await anyio.sleep(wait)

    async def _authorized(self, call: Call) -> "httpx.Response":
        """Logged in, with one new token if the registry does not like the one it was shown."""
        authorizer = self._authorizer(call.ref.registry)
        used = await authorizer.header(call.ref, call.scopes, call.doing)
        response = await self._followed(call, used)
        if response.status_code == 401:
            answer = await self._end(call, response)
            used = await authorizer.challenged(call.ref, call.scopes, call.doing, answer, used)
            response = await self._followed(call, used)
        if response.status_code in (401, 403):
            answer = await self._end(call, response)
            raise answers.refused(call.ref, call.doing, answer, await authorizer.told(call.ref))
        return response

    async def _followed(self, call: Call, authorization: str) -> "httpx.Response":
        """Redirects lead readers elsewhere, to where no login is sent."""
        url = call.url
        for _ in range(REDIRECTS):
            response = await self._raw(call, url, authorization if _same(url, self.url(call.ref, "")) else "")
            if response.status_code not in _MOVED:
                return response
            target = urljoin(url, response.headers.get("location", ""))
            await response.aclose()
            parts = urlsplit(target)
            if call.method not in ("GET", "HEAD"):
                raise RegistryError(f"{call.ref.registry} sends a {call.method} on to {shown(target)}; name that registry instead")
            if not self.settings.allows(parts, call.ref.registry):
                raise RegistryUntrusted(f"{call.ref.registry} leads to {shown(parts.scheme + '://' + parts.netloc)}, which is not https")
            url = target
        raise RegistryError(f"{call.ref.registry} redirected {REDIRECTS} times and never answered")

    async def _raw(self, call: Call, url: str, authorization: str) -> "httpx.Response":
        headers = dict(call.headers)
        if authorization:
            headers["Authorization"] = authorization
        if call.body:
            headers["Content-Length"] = str(call.body.length)
        elif call.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        client = self._client(url)
        self.requests += 1
        try:
            request = client.build_request(call.method, url, headers=headers, content=call.body.open() if call.body else None)
        except ValueError as error:
            raise RegistryError(f"{call.ref.registry} gave an address that is none: {shown(url)!r}") from error
        return await client.send(request, stream=True)

    async def _ask(self, ref: ImageRef, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """A token server. Tried again as a registry is; redirects are not followed, for it is sent a password."""
        import httpx

        failures = 0
        while True:
            client = self._client(url)
            self.requests += 1
            try:
                async with client.stream(method, url, headers=headers, content=body) as response:
                    answer = await self._whole(ref, response, 1 << 20)
                asked = retry.retry_after(answer.header("retry-after"), utcnow())
                if answer.status not in retry.AGAIN:
                    return answer
                problem: BuildError = RegistryUnreachable(f"{urlsplit(url).netloc}, the token server, answers {answer.words}{_asks(asked)}")
            except httpx.TransportError as error:
                problem, asked = _broken(ref, error, f"{urlsplit(url).netloc} (its token server)"), None
                if not isinstance(problem, RegistryUnreachable) or _hopeless(error):
                    raise problem from error
            failures += 1
            wait = retry.pause(self.settings, failures, random.random(), asked)  # noqa: S311
            if wait is None:
                raise GivenUp(f"{problem.detail}; given up after {failures} tries")
            await anyio.sleep(wait)

    async def _end(self, call: Call, response: "httpx.Response") -> Answer:
        try:
            return await self._whole(call.ref, response, SMALL)
        finally:
            await response.aclose()

    async def _whole(self, ref: ImageRef, response: "httpx.Response", limit: int) -> Answer:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                if response.status_code == 200:
                    raise RegistryError(f"{ref}: the answer has more than {limit} bytes, which no manifest or list needs")
                break
        return Answer(response.status_code, _headers(response), bytes(body[:limit]))

    def _authorizer(self, registry: str) -> Authorizer:
        if registry not in self._authorizers:
            self._authorizers[registry] = Authorizer(self.settings, self._finder, self._ask)
        return self._authorizers[registry]


def _headers(response: "httpx.Response") -> dict[str, str]:
    return {key.lower(): value for key, value in response.headers.items()}


def _trust(settings: RegistrySettings) -> ssl.SSLContext:
    """The system's certificates (SSL_CERT_FILE works) and the CA file's; certifi's where the system has none."""
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # from 3.13 on it refuses hand-made authorities without a key identifier
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath:
        import certifi

        context.load_verify_locations(certifi.where())
    if settings.ca_file:
        try:
            context.load_verify_locations(settings.ca_file)
        except (OSError, ssl.SSLError):
            raise RegistryUntrusted(
                f"{settings.ca_file} holds no certificates in PEM form; --registry-ca takes a CA's certificate"
            ) from None
    return context


def _broken(ref: ImageRef, error: Exception, whom: str = "") -> BuildError:
    """What a broken connection is called."""
    whom = whom or ref.registry
    causes = list(_causes(error))
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        why = next(one.verify_message for one in causes if isinstance(one, ssl.SSLCertVerificationError))
        return RegistryUntrusted(
            f"the certificate of {whom} is not trusted ({why}); "
            "give your CA's certificate with --registry-ca or KFN_REGISTRY_CA, and check the clock"
        )
    if any(isinstance(one, ssl.SSLError) and one.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE") for one in causes):
        return RegistryUntrusted(f"{whom} does not speak TLS; if it is yours, list it in --plain-http or KFN_REGISTRY_PLAIN_HTTP")
    if any(isinstance(one, socket.gaierror) for one in causes):
        return RegistryUnreachable(f"the name of {whom} cannot be resolved; check its spelling, the network and the DNS")
    words = str(error) or type(error).__name__
    return RegistryUnreachable(f"{whom}: {shown(words)}")


def _causes(error: BaseException | None) -> "list[BaseException]":
    found: list[BaseException] = []
    while error is not None and len(found) < 10:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _hopeless(error: Exception) -> bool:
    """A name that does not exist will not exist in a second."""
    return any(isinstance(one, socket.gaierror) and one.errno != socket.EAI_AGAIN for one in _causes(error))


def _same(url: str, other: str) -> bool:
    one, two = urlsplit(url), urlsplit(other)
    return (one.scheme, one.netloc) == (two.scheme, two.netloc)


def _host(registry: str) -> str:
    return registry if registry.endswith("]") else registry.rpartition(":")[0] or registry


def _asks(seconds: float | None) -> str:
    return "" if seconds is None else f" (it asks to wait {seconds:.0f} s)"
