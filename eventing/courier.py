"""Carries one event to one address over HTTP and reads the answer: the outcome, and reply events if there are any.

Hosts inside the platform are reached through the gateway, which wakes a function from zero and holds the event meanwhile.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from eventing import subjects
from eventing.delivery import Policy
from eventing.gate import Passes
from eventing.letter import TTL
from eventing.retry import Outcome
from eventing.settings import Settings
from kfn import http1
from kfn.clock import utcnow
from kfn.cloudevents import Event, InvalidEvent
from kfn.cloudevents import http as binding

TRACE = ("traceparent", "tracestate")
_INSIDE = (".svc.cluster.local", ".svc")
_NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    replies: tuple[Event, ...] = ()
    trace: Mapping[str, str] | None = None


class Courier:
    """Shared by all Triggers, so that connections to the gateway are. `ingress_url` is what Brokers and Channels are addressed by."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._passes = Passes(settings.token)
        self.ingress_url = settings.ingress_url
        self._http = http1.Client(max_body=settings.max_reply + 64 * 1024, keep=256)

    async def aclose(self) -> None:
        await self._http.aclose()

    @property
    def passes(self) -> Passes:
        return self._passes

    async def deliver(self, event: Event, url: str, policy: Policy, trace: Mapping[str, str], *, sender: str = "") -> Answer:
        """One attempt, for an object of the namespace `sender`, whose Brokers and Channels take it without a token of the user's.
        Never raises for what the other side does: that is the outcome."""
        passed = child_trace(trace)
        outcome, response = await self.call(event, url, policy, passed, sender=sender)
        if response is None:
            return Answer(outcome)
        back = {name: value for name in TRACE if (value := response.header(name.encode()).decode("latin-1"))}
        return replace(_read(response, outcome, self._settings.max_reply), trace=back or passed)

    async def call(
        self, event: Event, url: str, policy: Policy, trace: Mapping[str, str], *, sender: str = "", extra: Mapping[str, str] = _NO_HEADERS
    ) -> tuple[Outcome, http1.Response | None]:
        """As `deliver`, with just this trace context, and whatever is answered is for the caller to read."""
        event = event.with_attributes(**{TTL: None})
        headers, body = binding.structured(event) if policy.structured else binding.binary(event)
        headers += [("prefer", "reply"), ("user-agent", "kfn-eventing"), *trace.items(), *extra.items()]
        if sender:
            headers.append(("kn-namespace", sender))  # as Knative's channels do
        if sender and subjects.place_at(self.ingress_url, url) is not None:
            headers.append(("authorization", f"Bearer {self._passes.of(sender)}"))
        limit = policy.timeout or self._settings.delivery_timeout
        try:
            response = await self._http.request("POST", url, headers=headers, body=body, timeout=limit, via=self._via(url))
        except http1.TooLarge as error:
            return Outcome(502, problem=f"the reply is too large: {error}"), None
        except http1.HttpError as error:
            return Outcome(problem=str(error)), None
        return Outcome(response.status, response.body[:1024], _retry_after(response.header(b"retry-after").decode("latin-1"))), response

    def _via(self, url: str) -> tuple[str, int] | None:
        host = urlsplit(url).hostname or ""
        return self._settings.gateway if host.endswith(_INSIDE) else None


def child_trace(trace: Mapping[str, str]) -> dict[str, str]:
    """The W3C trace context of a step under `trace`; a new trace if there is none that is valid."""
    parts = trace.get("traceparent", "").split("-")
    span = secrets.token_hex(8)
    if len(parts) < 4 or len(parts[1]) != 32:
        return {"traceparent": f"00-{secrets.token_hex(16)}-{span}-01"}
    state = {"tracestate": trace["tracestate"]} if trace.get("tracestate") else {}
    return {"traceparent": f"00-{parts[1]}-{span}-{parts[3][:2]}", **state}


def _read(response: http1.Response, outcome: Outcome, max_reply: int) -> Answer:
    if not 200 <= response.status < 300:
        return Answer(outcome)
    if not binding.is_event(response.headers):
        if response.body:
            return Answer(replace(outcome, problem="the subscriber answered 2xx with a body that is not a CloudEvent"))
        return Answer(outcome)
    try:
        replies = tuple(binding.parse(response.headers, response.body))
    except InvalidEvent as error:
        return Answer(replace(outcome, problem=f"the reply is not a valid CloudEvent: {error}"))
    if any(len(reply.data or b"") > max_reply for reply in replies):
        return Answer(replace(outcome, problem=f"the reply is larger than {max_reply} bytes"))
    return Answer(outcome, replies)


def _retry_after(value: str) -> float | None:
    """Seconds from the header's number or date."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - utcnow()).total_seconds()) if value else None
    except (ValueError, TypeError):
        return None
