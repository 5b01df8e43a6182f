"""The NatsSource reconciler: sink, secrets and conditions, and the pump that runs for it (`natspump.py`) on the one replica that leads."""

from collections.abc import Callable

from anyio.abc import TaskGroup

from eventing.conditions import false, true, unknown
from eventing.courier import Courier
from eventing.metrics import Metrics
from eventing.resolve import Resolver
from eventing.sources.queues import natsmessage, planned
from eventing.sources.queues.natsmessage import Made
from eventing.sources.queues.natspump import NatsPump, Reading
from eventing.sources.queues.pumps import Pumps
from eventing.sources.queues.remote import Login
from eventing.sources.report import report
from eventing.sources.secret import Unread, values
from kfn.api import kinds
from kfn.api import natssource as api
from kfn.api.meta import Condition
from kfn.api.secretvalue import SecretValue
from kfn.api.sourced import CloudEventAttributes
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

_FIELDS = {
    "spec.auth.user": "user", "spec.auth.password": "password", "spec.auth.token": "token", "spec.auth.credentials": "credentials",
    "spec.auth.nkey": "nkey", "spec.tls.caCert": "ca", "spec.tls.cert": "cert", "spec.tls.key": "key",
}  # fmt: skip


class NatsSources:
    """`tasks` is where pumps run; `changed` is called with the key of a source whose pump has something to tell."""

    def __init__(
        self, client: Client, informer: Informer[api.NatsSource], resolver: Resolver, courier: Courier, metrics: Metrics,
        tasks: TaskGroup, changed: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._client, self._informer, self._resolver = client, informer, resolver
        self._pumps: Pumps[NatsPump] = Pumps(NatsPump, courier, metrics, tasks, changed)

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            await self._pumps.stop(key)
            return Done()
        route, found = await planned.route(self._resolver, source, "nats")
        login, provided = await self._login(source)
        connected = unknown("Connected", "NotStarted", "It does not read while the other conditions do not hold.")
        if route is not None and login is not None:
            made = Made(source.spec.servers[0], source.spec.event_type or api.TYPE, source.spec.extensions)
            connected = _told(await self._pumps.ensure(key, _reading(source, login), route, made))
        else:
            await self._pumps.stop(key)
        wanted = [CloudEventAttributes(source.spec.event_type or api.TYPE, natsmessage.source(source.spec.servers[0], source.spec.subject))]
        await report(
            self._client, kinds.NATS_SOURCE, source, [*found, provided, connected],
            sink_uri=route.url if route else "", ce_attributes=wanted if route else [],
        )  # fmt: skip
        return Done(again_after=planned.AGE if route is not None and login is not None else 2.0)

    async def _login(self, source: api.NatsSource) -> tuple[Login | None, Condition]:
        try:
            given = await values(self._client, source.metadata.namespace, _references(source.spec))
        except Unread as error:
            return None, false("SecretProvided", error.reason, str(error))
        tls = source.spec.tls is not None and source.spec.tls.enable
        return Login(tls, **{_FIELDS[field]: value for field, value in given.items()}), true("SecretProvided")


def _reading(source: api.NatsSource, login: Login) -> Reading:
    spec, stream = source.spec, source.spec.jetstream
    if stream is None:
        return Reading(tuple(spec.servers), spec.subject, login, spec.queue_group)
    policy = api.POLICIES.get(stream.deliver_policy, "all")
    return Reading(tuple(spec.servers), spec.subject, login, "", stream.stream, api.durable(source), policy)


def _references(spec: api.NatsSourceSpec) -> dict[str, SecretValue | None]:
    found: dict[str, SecretValue | None] = {}
    if auth := spec.auth:
        for field in ("user", "password", "token", "credentials", "nkey"):
            found[f"spec.auth.{field}"] = getattr(auth, field)
    if (tls := spec.tls) and tls.enable:
        found |= {"spec.tls.caCert": tls.ca_cert, "spec.tls.cert": tls.cert, "spec.tls.key": tls.key}
    return found


def _told(pump: NatsPump) -> Condition:
    if pump.problem is None:
        return unknown("Connected", "Connecting", "Connecting to the servers.")
    return false("Connected", "NotConnected", pump.problem) if pump.problem else true("Connected")
