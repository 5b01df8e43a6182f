"""The addresses of WebhookSources: POST /webhooks/<namespace>/<name>. 202 says that the sink has the event; until then the sender waits.

Nothing is kept here: a sink that does not take an event for 8 seconds has its sender told to come again, and the event then has
the same id. Which sources there are is `webhooks.py`'s, what a request becomes `webhook.py`'s.
"""

import logging
from collections import Counter

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from eventing import retry
from eventing.courier import TRACE, Courier
from eventing.delivery import DEFAULT, policy
from eventing.ingress import Refusal, read_body
from eventing.metrics import Metrics
from eventing.settings import Settings
from eventing.sources import webhook
from eventing.sources.webhook import Door
from kfn.clock import micro_timestamp
from kfn.cloudevents import Event

log = logging.getLogger(__name__)

PATIENCE = 8.0  # seconds; GitHub hangs up after 10
AT_ONCE = 64  # requests of one source; each may hold a body of a megabyte
_AGAIN = {"Retry-After": "5"}
_POLICY = policy(DEFAULT)


class Hooks:
    def __init__(self, courier: Courier, settings: Settings, metrics: Metrics) -> None:
        self._courier, self._settings, self._metrics = courier, settings, metrics
        self._open: dict[str, Door | None] = {}
        self._busy: Counter[str] = Counter()

    def open(self, key: str, door: Door | None) -> None:
        """From now on requests for `namespace/name` become events; None: it is known, and not ready."""
        self._open[key] = door

    def shut(self, key: str) -> None:
        self._open.pop(key, None)
        self._metrics.forget_webhook(key)

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route("/webhooks/{namespace}/{name}", self.handle, methods=["POST"])]

    async def handle(self, request: Request) -> Response:
        key = f"{request.path_params['namespace']}/{request.path_params['name']}"
        try:
            await self._take(key, request)
        except Refusal as refusal:
            if key in self._open:  # a name that anybody may make up must not stay in memory
                self._metrics.webhook(key, str(refusal.status))
            return PlainTextResponse(refusal.text + "\n", refusal.status, refusal.headers)
        except ClientDisconnect:
            return PlainTextResponse("", 400)
        self._metrics.webhook(key, "202")
        return Response(status_code=202)

    async def _take(self, key: str, request: Request) -> None:
        if key not in self._open:
            raise Refusal(404, "there is no webhook source with this address")
        door = self._open[key]
        if door is None:
            raise Refusal(503, "the webhook source is not ready; its conditions say why", _AGAIN)
        if self._busy[key] >= AT_ONCE:
            raise Refusal(429, f"{AT_ONCE} requests are under way", _AGAIN)
        self._busy[key] += 1
        try:
            body = await read_body(request, self._settings.max_event - self._settings.max_attributes)
            if not webhook.is_signed(door, request.headers, body):
                raise Refusal(401, f"the signature in {door.signature_header} is missing or wrong")
            trace = {name: value for name in TRACE if (value := request.headers.get(name))}
            await self._deliver(key, webhook.event(door, request.headers, body, micro_timestamp()), door.url, trace)
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]

    async def _deliver(self, key: str, event: Event, url: str, trace: dict[str, str]) -> None:
        """Until the sink has it, with back-off. Raises `Refusal`."""
        why = "it does not answer"
        with anyio.move_on_after(PATIENCE):
            attempt = 1
            while True:
                outcome = (await self._courier.deliver(event, url, _POLICY, trace, sender=key.partition("/")[0])).outcome
                if 200 <= outcome.status < 300:  # what it says beside that is nobody's
                    return
                verdict = retry.decide(_POLICY, outcome, attempt)
                if isinstance(verdict, retry.DeadLetter) and not retry.retriable(outcome):
                    log.warning("webhook source %s: the sink refused event %s: %s", key, event.id, verdict.reason)
                    raise Refusal(502, f"the sink refused the event with {outcome.status}")
                why = outcome.problem or f"it answered {outcome.status}"
                await anyio.sleep(verdict.delay if isinstance(verdict, retry.RetryAfter) else PATIENCE)
                attempt += 1
        log.warning(
            "webhook source %s: event %s was not taken within %g s: %s; its sender was told to come again", key, event.id, PATIENCE, why
        )
        raise Refusal(503, "the sink did not take the event; send it again", _AGAIN)
