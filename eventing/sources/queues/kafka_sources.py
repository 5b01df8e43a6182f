"""The KafkaSource reconciler: sink, secrets and conditions, and the pump that runs for it (`kafkapump.py`).

Every replica of eventing is a member of the source's consumer group, which shares the partitions among them, so a change of leader moves
nothing; one replica writes the status.
"""

from eventing.conditions import false, true, unknown
from eventing.resolve import Resolver
from eventing.sources.queues import planned
from eventing.sources.queues.kafkamessage import Made
from eventing.sources.queues.kafkapump import MISSING, KafkaPump, Login, Reading
from eventing.sources.queues.pumps import Pumps
from eventing.sources.report import report
from eventing.sources.secret import Unread, values
from kfn.api import kafkasource as api
from kfn.api import kinds
from kfn.api.meta import Condition
from kfn.api.secretvalue import SecretValue
from kfn.api.sourced import CloudEventAttributes
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

_FIELDS = {
    "spec.net.sasl.user": "user", "spec.net.sasl.password": "password", "spec.net.sasl.type": "type", "spec.net.tls.caCert": "ca",
    "spec.net.tls.cert": "cert", "spec.net.tls.key": "key",
}  # fmt: skip


class KafkaSources:
    """`pumps` run over every change of leader. Not `writing`: another replica looks after the status."""

    def __init__(
        self, client: Client, informer: Informer[api.KafkaSource], resolver: Resolver, pumps: Pumps[KafkaPump], *, writing: bool = True
    ) -> None:  # fmt: skip
        self._client, self._informer, self._resolver, self._pumps, self._writing = client, informer, resolver, pumps, writing

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            await self._pumps.stop(key)
            return Done()
        route, found = await planned.route(self._resolver, source, "kafka")
        login, provided = await self._login(source)
        connected = unknown("Connected", "NotStarted", "It does not read while the other conditions do not hold.")
        if source.spec.consumers == 0:
            await self._pumps.stop(key)
            connected = true("Connected", "Paused", "spec.consumers is 0: nothing is read.")
        elif route is not None and login is not None:
            connected = _told(await self._pumps.ensure(key, _reading(source, login), route, _made(source)))
        else:
            await self._pumps.stop(key)
        if self._writing:
            wanted = [CloudEventAttributes(api.TYPE, api.source_of(namespace, name, topic)) for topic in source.spec.topics]
            await report(
                self._client, kinds.KAFKA_SOURCE, source, [*found, provided, connected], sink_uri=route.url if route else "",
                ce_attributes=wanted if route else [], consumers=int(connected.status == "True" and source.spec.consumers != 0),
            )  # fmt: skip
        return Done(again_after=planned.AGE if route is not None and login is not None else 2.0)

    async def _login(self, source: api.KafkaSource) -> tuple[Login | None, Condition]:
        net = source.spec.net or api.NetSpec()
        try:
            given = await values(self._client, source.metadata.namespace, _references(net))
        except Unread as error:
            return None, false("SecretProvided", error.reason, str(error))
        tls, sasl = net.tls is not None and net.tls.enable, net.sasl is not None and net.sasl.enable
        return Login(tls, sasl, **{_FIELDS[field]: value for field, value in given.items()}), true("SecretProvided")


def _reading(source: api.KafkaSource, login: Login) -> Reading:
    spec = source.spec
    servers = tuple(part.strip() for one in spec.bootstrap_servers for part in one.split(","))
    return Reading(
        servers, tuple(spec.topics), api.group_of(source), spec.initial_offset != "earliest", spec.ordering != "unordered", login
    )  # fmt: skip


def _made(source: api.KafkaSource) -> Made:
    meta = source.metadata
    return Made(meta.namespace, meta.name, meta.labels.get(api.KEY_TYPE, "string"), source.spec.extensions)


def _references(net: api.NetSpec) -> dict[str, SecretValue | None]:
    found: dict[str, SecretValue | None] = {}
    if (sasl := net.sasl) and sasl.enable:
        found |= {"spec.net.sasl.user": sasl.user, "spec.net.sasl.password": sasl.password, "spec.net.sasl.type": sasl.type}
    if (tls := net.tls) and tls.enable:
        found |= {"spec.net.tls.caCert": tls.ca_cert, "spec.net.tls.cert": tls.cert, "spec.net.tls.key": tls.key}
    return found


def _told(pump: KafkaPump) -> Condition:
    if pump.problem is None:
        return unknown("Connected", "Connecting", "Connecting to the brokers.")
    reason = "NotInstalled" if pump.problem.startswith(MISSING) else "NotConnected"
    return false("Connected", reason, pump.problem) if pump.problem else true("Connected")
