"""The door for publishers: POST /<namespace>/<broker>, or /<namespace>/channels/<channel>.

An event is accepted (202) when JetStream has it on disk, not before.

Every refusal says what to change, or when to try again. What becomes of an event afterwards is the dispatchers'.
"""

import json
import logging
import re
from collections.abc import Callable, Sequence

import anyio
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from eventing import errors, subjects
from eventing.bus import Bus
from eventing.courier import TRACE
from eventing.gate import Gate, Shut
from eventing.letter import TTL
from eventing.metrics import Metrics
from eventing.settings import Settings
from eventing.settle import ARRIVAL, ttl
from kfn.clock import micro_timestamp
from kfn.cloudevents import Event, InvalidEvent, http
from kfn.cloudevents import nats as binding

log = logging.getLogger(__name__)

ALLOW = "POST, OPTIONS"
DOORS = ("jobsinks", "webhooks")  # paths that begin so go on with a namespace, which may be called as channels are
BODY_TIME = 60.0
DISCARDED = 16 << 20
_RETRY = {"Retry-After": "1"}


class Refusal(Exception):
    """The request is answered with this status and text."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or {}


class Ingress:
    """`known` says whether a Broker of ours, or a Channel, has that place, `ready` whether its stream is there. `full`
    is called when a stream is full, `suspect` when a stream may be gone."""

    def __init__(
        self, bus: Bus, settings: Settings, metrics: Metrics, *, known: Callable[[str, str], bool], ready: Callable[[str, str], bool],
        full: Callable[[], None], suspect: Callable[[str], None], gate: Gate,
    ) -> None:  # fmt: skip
        self._gate = gate
        self._bus, self._settings, self._metrics = bus, settings, metrics
        self._known, self._ready, self._full, self._suspect = known, ready, full, suspect

    async def handle(self, request: Request) -> Response:
        """The endpoint for every method on a Broker's address."""
        if request.method == "OPTIONS":
            return _handshake(request)
        namespace, broker = request.path_params["namespace"], place(request)
        try:
            if request.method != "POST":
                raise Refusal(405, "events are sent with POST", {"Allow": ALLOW})
            self.require(namespace, broker)
            try:
                await self._gate.admit(namespace, broker, request.headers.get("authorization", ""))
            except Shut as shut:
                raise Refusal(shut.status, shut.text, shut.headers) from None
            events = await self._events(request)
            await self._store(namespace, broker, events, {n: v for n in TRACE if (v := request.headers.get(n))})
        except Refusal as refusal:
            known = self._known(namespace, broker)  # a name that anybody may make up must not stay in memory
            self._metrics.refused(namespace if known else "", broker if known else "", refusal.status)
            return PlainTextResponse(refusal.text + "\n", refusal.status, refusal.headers)
        except ClientDisconnect:
            return PlainTextResponse("", 400)
        self._metrics.accepted(namespace, broker, len(events))
        return Response(status_code=202)

    def require(self, namespace: str, broker: str) -> None:
        """Refuse unless the Broker is there."""
        kind, name = subjects.kind_at(broker) or "Broker", subjects.channel_at(broker) or broker
        what = kind.lower()
        if not self._known(namespace, broker):
            fix = f"; create it: kfn {what} create {name} -n {namespace}" if kind != "InMemoryChannel" else ""
            raise Refusal(404, f"there is no {what} {name!r} in namespace {namespace!r}{fix}")
        if not self._ready(namespace, broker):
            raise Refusal(503, f"{what} {name!r} is not ready yet", _RETRY)

    async def _events(self, request: Request) -> list[Event]:
        is_batch = request.headers.get("content-type", "").lower().startswith(http.BATCH)
        limit = self._settings.max_batch if is_batch else self._settings.max_event
        events = await read_events(request, limit)
        for index, event in enumerate(events):
            _check_size(event, f"[{index}]: " if is_batch else "", self._settings)
        return [_arrived(event) for event in events]

    async def _store(self, namespace: str, broker: str, events: Sequence[Event], trace: dict[str, str]) -> None:
        """Store all, or refuse; what a refused batch did store is stored once, however often it is sent again."""
        if len(events) == 1:
            try:
                await self._publish(namespace, broker, events[0], trace)
            except errors.BusError as error:
                self._failed(namespace, broker, [error])
                status, headers = _status(error)
                raise Refusal(status, str(error), headers) from None
            return
        failed: dict[int, errors.BusError] = {}
        away: list[errors.BusError] = []  # once that many had to give up, NATS is gone, and the rest need not wait for the same
        limit = self._settings.batch_at_once
        at_once = anyio.Semaphore(limit)

        async def one(index: int, event: Event) -> None:
            try:
                async with at_once:
                    if len(away) >= limit:
                        raise away[0]
                    await self._publish(namespace, broker, event, trace)
            except errors.BusError as error:
                failed[index] = error
                if isinstance(error, errors.Unavailable):
                    away.append(error)

        async with anyio.create_task_group() as tasks:
            for index, event in enumerate(events):
                tasks.start_soon(one, index, event)
        if not failed:
            return
        self._failed(namespace, broker, list(failed.values()))
        worst = next((e for e in failed.values() if not isinstance(e, errors.Unavailable | errors.Full)), next(iter(failed.values())))
        status, headers = _status(worst)
        report = {"accepted": len(events) - len(failed), "failed": [{"index": i, "error": str(e)} for i, e in sorted(failed.items())]}
        raise Refusal(status, json.dumps(report), {**headers, "Content-Type": "application/json"})

    def _failed(self, namespace: str, broker: str, found: Sequence[errors.BusError]) -> None:
        if any(isinstance(error, errors.Full) for error in found):
            self._full()
        if any(isinstance(error, errors.Unavailable | errors.NoStream) for error in found):
            self._suspect(f"{namespace}/{broker}")

    async def _publish(self, namespace: str, broker: str, event: Event, trace: dict[str, str]) -> None:
        subject = subjects.event(namespace, broker, event.type, event.attributes.get("partitionkey", ""))
        id = subjects.event_id(event.source, event.id)
        await self._bus.publish(subjects.stream(namespace, broker), subject, {**binding.headers(event), **trace}, event.data or b"", id=id)


class _Channels(Convertor[str]):
    """The part of a path that says which kind of channel follows."""

    regex = "|".join(re.escape(prefix.rstrip("/")) for prefix in subjects.CHANNELS.values())

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("channels", _Channels())
AT, AT_CHANNEL = "/{namespace}/{broker}", "/{namespace}/{channels:channels}/{channel}"


def params_of(path: str) -> dict[str, str] | None:
    """As a route would find them, of a path that is `AT` or `AT_CHANNEL` and nothing else; None for any other."""
    match path.split("/"):
        case ["", namespace, broker] if namespace and broker:
            return {"namespace": namespace, "broker": broker}
        case ["", namespace, kind, name] if namespace and name and f"{kind}/" in subjects.CHANNELS.values() and namespace not in DOORS:
            return {"namespace": namespace, "channels": kind, "channel": name}
    return None


def place(request: Request) -> str:
    """The Broker or channel that a path of `AT` or `AT_CHANNEL` names."""
    params = request.path_params
    return f"{params['channels']}/{params['channel']}" if "channel" in params else str(params["broker"])


def _check_size(event: Event, place: str, settings: Settings) -> None:
    if len(event.attributes) > settings.max_attribute_count:
        raise Refusal(413, f"{place}an event must not have more than {settings.max_attribute_count} attributes; put more into its data")
    size = sum(len(name) + len(value) for name, value in event.attributes.items())
    if size > settings.max_attributes:
        raise Refusal(
            413, f"{place}an event's attributes must not be larger than {settings.max_attributes} bytes in all; put more into its data"
        )
    if size + len(event.data or b"") > settings.max_event:
        raise Refusal(413, f"{place}an event must not be larger than {settings.max_event} bytes")


def _arrived(event: Event) -> Event:
    left = ttl(event)
    if TTL in event.attributes:
        left -= 1
    if left <= 0:
        raise Refusal(400, f"{TTL}: reached 0; the event goes around in a loop of subscribers and brokers")
    return event.with_attributes(**{TTL: str(left), ARRIVAL: micro_timestamp()})


async def read_events(request: Request, limit: int) -> list[Event]:
    """The events in a body of so many bytes at most. Raises `Refusal`."""
    body = await read_body(request, limit)
    try:
        return http.parse(request.headers.raw, body)
    except http.UnsupportedFormat as error:
        raise Refusal(415, str(error)) from None
    except InvalidEvent as error:
        raise Refusal(400, str(error)) from None


async def read_body(request: Request, limit: int) -> bytes:
    """The body. One that is too large is read on for a while, so that its sender gets to read why."""
    if request.headers.get("content-length") == "0":
        return b""
    chunks, size = [], 0
    try:
        with anyio.fail_after(BODY_TIME):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    chunks.append(chunk)
                elif size > limit + DISCARDED:
                    break
    except TimeoutError:
        raise Refusal(408, f"the body did not come within {BODY_TIME:g} s", {"Connection": "close"}) from None
    if size > limit:
        raise Refusal(413, f"the body must not be larger than {limit} bytes", {"Connection": "close"})
    return b"".join(chunks)


def _handshake(request: Request) -> Response:
    """The webhook handshake: whoever asks may deliver, as often as it likes."""
    headers = {"Allow": ALLOW}
    origin = request.headers.get("webhook-request-origin")
    if origin:
        headers["WebHook-Allowed-Origin"] = origin
        headers["WebHook-Allowed-Rate"] = request.headers.get("webhook-request-rate", "*")
    return Response(status_code=200, headers=headers)


def _status(error: errors.BusError) -> tuple[int, dict[str, str]]:
    if isinstance(error, errors.TooLarge):
        return 413, {}
    if isinstance(error, errors.Full):
        return 503, {"Retry-After": "10"}
    if isinstance(error, errors.Unavailable | errors.NoStream):
        return 503, _RETRY
    return 500, {}
