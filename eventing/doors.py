"""The doors for whoever looks after events: dead letters listed, shown, delivered again, thrown away; a
Trigger set back. Each asks for the platform's token.

They are on the ingress's port, and on the admin port of a process, where an API server's proxy reaches them: it takes `Authorization` for
itself, so the token may come as `Kfn-Token`. Every answer is JSON.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from eventing import consumers, errors, tail
from eventing.bus import Bus
from eventing.deadletters import LARGEST, PAGE, DeadLetters, Page, Selection, Uid
from eventing.ingress import AT, AT_CHANNEL, Ingress, Refusal, place
from eventing.settings import Settings
from kfn.observe import bearer

Endpoint = Callable[[Request], Awaitable[Response]]
_LATER = {"Retry-After": "1"}


def authorize(request: Request, token: str) -> None:
    """Raises `Refusal`."""
    if not token:
        raise Refusal(403, "this platform has no token set, so events cannot be shown")
    given = request.headers.get("kfn-token")
    if not bearer.allows(f"Bearer {given}" if given else request.headers.get("authorization", ""), token):
        raise Refusal(401, "send the platform's token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})


class Doors:
    """`uid` finds a Trigger of a Broker, or a Subscription of a Channel."""

    def __init__(self, ingress: Ingress, bus: Bus, settings: Settings, uid: Uid) -> None:
        self._ingress, self._bus, self._settings, self._uid = ingress, bus, settings, uid

    @property
    def routes(self) -> list[BaseRoute]:
        found: list[BaseRoute] = []
        for at in (f"{AT}/dead-letters", f"{AT_CHANNEL}/dead-letters"):
            found += [
                Route(at, self._guarded(self._list), methods=["GET"]),
                Route(at, self._guarded(self._purge), methods=["DELETE"]),
                Route(f"{at}/replay", self._guarded(self._replay), methods=["POST"]),
                Route(f"{at}/{{sequence:int}}", self._guarded(self._show), methods=["GET"]),
            ]
        for at in (f"{AT}/triggers/{{trigger}}/replay", f"{AT_CHANNEL}/subscriptions/{{trigger}}/replay"):
            found.append(Route(at, self._guarded(self._rewind), methods=["POST"]))
        return found

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            try:
                authorize(request, self._settings.token)
                self._ingress.require(request.path_params["namespace"], place(request))
                return await endpoint(request)
            except Refusal as refusal:
                return _told(refusal.status, refusal.text, refusal.headers)
            except ValueError as error:
                return _told(400, str(error))
            except (errors.Unavailable, errors.Full, errors.NoStream) as error:
                return _told(503, str(error), _LATER)
            except errors.BusError as error:
                return _told(409, str(error))

        return guarded

    def _letters(self, request: Request) -> DeadLetters:
        return DeadLetters(self._bus, self._settings, request.path_params["namespace"], place(request), self._uid)

    async def _list(self, request: Request) -> Response:
        return JSONResponse((await self._letters(request).list(selection(request))).told())

    async def _show(self, request: Request) -> Response:
        sequence = request.path_params["sequence"]
        found = await self._letters(request).show(sequence)
        return (
            JSONResponse(found) if found else _told(404, f"there is no dead letter {sequence}; it may have expired or been delivered again")
        )

    async def _replay(self, request: Request) -> Response:
        return await self._chosen(request, self._letters(request).replay)

    async def _purge(self, request: Request) -> Response:
        return await self._chosen(request, self._letters(request).purge)

    async def _rewind(self, request: Request) -> Response:
        """A Trigger delivers again from `since` or `from`, a sequence, on."""
        params, given = request.path_params, request.query_params
        namespace, broker, trigger = params["namespace"], place(request), params["trigger"]
        since, sequence = tail.start(given.get("since", "")), _number(given.get("from"), "from")
        if bool(since) == bool(sequence):
            raise ValueError("say from where: since, or from=SEQUENCE")
        uid = self._uid(namespace, broker, trigger)
        if uid is None:
            raise Refusal(404, f"broker {broker!r} has no trigger {trigger!r}")
        return JSONResponse(await consumers.rewind(self._bus, namespace, broker, uid, since=since, sequence=sequence))

    async def _chosen(self, request: Request, act: Callable[[Selection], Awaitable[Page]]) -> Response:
        """What changes something is done only to what somebody named."""
        wanted = selection(request)
        if not (wanted.trigger or wanted.id or wanted.sequence or request.query_params.get("all") == "true"):
            raise ValueError("say which dead letters: trigger, id, sequence, or all=true")
        return JSONResponse((await act(wanted)).told())


def selection(request: Request) -> Selection:
    """From the query. Raises ValueError, which names the parameter."""
    given = request.query_params
    limit = _number(given.get("limit"), "limit") or PAGE
    if limit > LARGEST:
        raise ValueError(f"limit: at most {LARGEST}; the answer's `after` and `until` ask for the rest")
    return Selection(
        trigger=given.get("trigger", ""), id=given.get("id", ""), sequence=_number(given.get("sequence"), "sequence"),
        since=tail.start(given.get("since", "")), after=_number(given.get("after"), "after"), until=_number(given.get("until"), "until"),
        limit=limit,
    )  # fmt: skip


def _number(text: str | None, name: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ValueError(f"{name}: {text[:40]!r} is not a number")
    return int(text)


def _told(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, headers)
