"""Being let in: which Authorization header a request gets. Tokens are kept by scope until shortly before they end, Basic logins are sent
once a registry has asked for one. A login goes to its registry or to the token server that this registry names, and nowhere else."""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio

from builder.errors import RegistryError, RegistryUntrusted
from builder.registry.answers import Answer, refused, shown
from builder.registry.challenge import Challenge, challenges, wanted
from builder.registry.credentials import CredentialFinder
from builder.registry.dockerconfig import Credentials
from builder.registry.reference import ImageRef
from builder.registry.settings import RegistrySettings

LIFETIME = 60.0  # of a token that says nothing, as the protocol has it
MARGIN = 5.0  # a token is not used in its last seconds, nor in its last tenth
CLIENT = "kfn"

Ask = Callable[[ImageRef, str, str, dict[str, str], bytes], Awaitable[Answer]]  # repository, method, url, headers, body


@dataclass(slots=True)
class Token:
    header: str = field(repr=False)
    ends: float  # on the loop's clock


class Authorizer:
    """For one registry. Safe for several requests at once: one of them gets a token, the others wait for it."""

    def __init__(self, settings: RegistrySettings, finder: CredentialFinder, ask: Ask) -> None:
        self._settings, self._finder, self._ask = settings, finder, ask
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], Token] = {}
        self._asked: dict[tuple[str, ...], str] = {}  # what the registry itself named for these scopes
        self._lock = anyio.Lock()

    async def header(self, ref: ImageRef, scopes: tuple[str, ...], doing: str) -> str:
        """What is sent without being asked: empty until the registry has asked once."""
        if not self._challenge:
            return ""
        if self._challenge.scheme == "basic":
            found = await self._finder.find(ref)
            return _basic(found.credentials) if found.credentials else ""
        async with self._lock:
            token = self._tokens.get(scopes)
            if token and token.ends > anyio.current_time():
                return token.header
            return await self._fetch(ref, scopes, doing)

    async def challenged(self, ref: ImageRef, scopes: tuple[str, ...], doing: str, answer: Answer, used: str) -> str:
        """The header to try again with after a 401 to `used`. Raises RegistryRefused when there is nothing more to try."""
        found = await self._finder.find(ref)
        offered = challenges((answer.header("www-authenticate"),))
        asked = next((one for one in offered if one.scheme == "bearer"), next((one for one in offered if one.scheme == "basic"), None))
        if not asked:
            raise refused(ref, doing, answer, found.told)
        if asked.scheme == "basic":
            self._challenge = asked
            header = _basic(found.credentials) if found.credentials and found.credentials.user else ""
            if not header or header == used:
                raise refused(ref, doing, answer, found.told)
            return header
        async with self._lock:
            self._challenge = asked
            self._asked[scopes] = asked.get("scope")
            token = self._tokens.get(scopes)
            if token and token.header != used and token.ends > anyio.current_time():
                return token.header  # another request was quicker
            self._tokens.pop(scopes, None)
            return await self._fetch(ref, scopes, doing)

    async def told(self, ref: ImageRef) -> str:
        """Which login was used, for an error."""
        return (await self._finder.find(ref)).told

    async def _fetch(self, ref: ImageRef, scopes: tuple[str, ...], doing: str) -> str:
        assert self._challenge
        realm = self._realm(ref, self._challenge.get("realm"))
        found = await self._finder.find(ref)
        login = found.credentials
        asking = wanted(scopes, self._asked.get(scopes, ""))
        service = [("service", self._challenge.get("service"))] if self._challenge.get("service") else []
        began = anyio.current_time()
        if login and login.identity_token:
            form = [*service, ("scope", " ".join(asking)), ("client_id", CLIENT), ("grant_type", "refresh_token")]
            body = urlencode([*form, ("refresh_token", login.identity_token)]).encode()
            answer = await self._ask(ref, "POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, body)
        else:
            parts = urlsplit(realm)
            query = [*parse_qsl(parts.query, keep_blank_values=True), *service, *(("scope", one) for one in asking)]
            if login:
                query.append(("account", login.user))
            url = parts._replace(query=urlencode(query), fragment="").geturl()
            answer = await self._ask(ref, "GET", url, {"Authorization": _basic(login)} if login else {}, b"")
        if answer.status in (400, 401, 403):
            raise refused(ref, doing, answer, f"{found.told}; the token server {urlsplit(realm).netloc} said so")
        if answer.status != 200:
            raise RegistryError(f"{ref.registry}: its token server {urlsplit(realm).netloc} answered {answer.words}")
        token = _token(ref, answer, began)
        self._tokens[scopes] = token
        return token.header

    def _realm(self, ref: ImageRef, realm: str) -> str:
        """The token server's address, if a password may be sent there."""
        parts = urlsplit(realm)
        if parts.username or parts.password or not parts.hostname:
            raise RegistryError(f"{ref.registry} names a token server {shown(realm)!r}, which is no address")
        if not self._settings.allows(parts, ref.registry):
            raise RegistryUntrusted(
                f"{ref.registry} sends logins to {shown(realm)!r}, which is not https; if that is meant, list both hosts in --plain-http"
            )
        return realm


def _basic(login: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _token(ref: ImageRef, answer: Answer, began: float) -> Token:
    try:
        body = json.loads(answer.body)
        text = body.get("token") or body.get("access_token")
        lasts = float(body.get("expires_in") or LIFETIME)
    except (ValueError, AttributeError, TypeError, RecursionError):
        text, lasts = None, 0.0
    if not isinstance(text, str) or not text.isascii() or any(c <= " " for c in text):
        raise RegistryError(f"{ref.registry}: its token server answered without a token")
    return Token(f"Bearer {text}", began + max(0.0, lasts - max(MARGIN, lasts / 10)))
