"""The addresses of JobSinks: POST /jobsinks/<namespace>/<name> makes a Job, GET /jobsinks/<namespace>/<name>/jobs/<job> says how it stands.

202 says that Job and Secret are there. Whoever was not told so sends the event again: what is there already is found by its name.
"""

import logging
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from eventing.ingress import Refusal, read_events
from eventing.jobsink import plan
from eventing.metrics import Metrics
from eventing.settings import Settings
from kfn.api import kinds
from kfn.api.batch import Job
from kfn.api.jobsink import JobSink
from kfn.cloudevents import Event, json
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)

VALUE = "eventing.jobSinks.enabled"  # of the chart
FIX = f"let the service account of kfn-eventing make Jobs and Secrets: set the chart's value {VALUE}=true"
_AGAIN = {"Retry-After": "2"}


class JobDoor:
    """`find` gives the JobSink of a namespace by its name."""

    def __init__(self, client: Client, find: Callable[[str, str], JobSink | None], settings: Settings, metrics: Metrics) -> None:
        self._client, self._find, self._settings, self._metrics = client, find, settings, metrics

    @property
    def routes(self) -> list[BaseRoute]:
        at = "/jobsinks/{namespace}/{name}"
        return [Route(at, self.take, methods=["POST"]), Route(f"{at}/jobs/{{job}}", self.show, methods=["GET"])]

    async def take(self, request: Request) -> Response:
        known = None
        try:
            known = self._sink(request)
            event = await self._event(request)
            name = plan.name_of(known.metadata.name, event.source, event.id)
            await self._make(known, name, json.dumps(event))
        except Refusal as refusal:
            if known is not None:  # a name that anybody may make up must not stay in memory
                self._metrics.job(known.metadata.namespace, known.metadata.name, refusal.status)
            return PlainTextResponse(refusal.text + "\n", refusal.status, refusal.headers)
        except ClientDisconnect:
            return PlainTextResponse("", 400)
        self._metrics.job(known.metadata.namespace, known.metadata.name, 202)
        return Response(status_code=202, headers={"Location": f"/jobsinks/{known.metadata.namespace}/{known.metadata.name}/jobs/{name}"})

    async def show(self, request: Request) -> Response:
        try:
            sink = self._sink(request)
            found = await self._job(sink, request.path_params["job"])
        except Refusal as refusal:
            return PlainTextResponse(refusal.text + "\n", refusal.status, refusal.headers)
        state = plan.state(found)
        told = {"job": found.metadata.name, "state": state.word, "reason": state.reason, "message": state.message}
        headers = {"Location": request.url.path} if state.status == 202 else {"Reason": state.word}
        return JSONResponse({key: value for key, value in told.items() if value}, state.status, headers)

    def _sink(self, request: Request) -> JobSink:
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        found = self._find(namespace, name)
        if found is None or found.metadata.deletion_timestamp:
            raise Refusal(404, f"there is no JobSink {name!r} in namespace {namespace!r}")
        return found

    async def _event(self, request: Request) -> Event:
        events = await read_events(request, self._settings.max_event)
        if len(events) != 1:
            raise Refusal(415, "a JobSink takes one event a request, not a batch")
        return events[0]

    async def _make(self, sink: JobSink, name: str, event: bytes) -> None:
        """The Job first, whose uid the Secret needs: its pods wait for the Secret. Raises `Refusal`."""
        if len(event) > plan.MOST:
            raise Refusal(413, f"the event has {len(event)} bytes as JSON; a Secret, in which the Job finds it, holds {plan.MOST}")
        namespace = sink.metadata.namespace
        try:
            try:
                job = await self._client.create(kinds.JOB, plan.job(sink, name), namespace)
            except errors.AlreadyExists:
                job = await self._job(sink, name)
            try:
                await self._client.create(kinds.SECRET, plan.secret(sink, job, event), namespace)
            except errors.AlreadyExists:
                return
        except errors.Forbidden as error:
            log.warning("job sink %s/%s: %s", namespace, sink.metadata.name, error)
            raise Refusal(503, f"the Job cannot be made: {error}; {FIX}", _AGAIN) from None
        except errors.Invalid as error:  # as long as nobody mends the sink; its sender's attempts bound it
            raise Refusal(500, f"the cluster refuses the Job of spec.job: {error}") from None
        except errors.KubeError as error:
            raise Refusal(503, f"the API server does not take the Job now: {error}", _AGAIN) from None

    async def _job(self, sink: JobSink, name: str) -> Job:
        """Raises `Refusal`."""
        try:
            found = await self._client.get(kinds.JOB, name, sink.metadata.namespace)
        except errors.NotFound:
            raise Refusal(404, f"there is no Job {name!r} of this JobSink; it is gone, or never was") from None
        except errors.KubeError as error:
            raise Refusal(503, f"the API server does not answer: {error}", _AGAIN) from None
        if not plan.is_of(found, sink) or found.metadata.deletion_timestamp:
            raise Refusal(503 if plan.is_of(found, sink) else 404, f"Job {name!r} is not of this JobSink, or is being deleted", _AGAIN)
        return found
