"""Reads Kafka for one source, as a member of its consumer group, and hands each record to its carrier.

aiokafka is an extra of its own (`kfn[kafka]`): it is looked for when a KafkaSource wants it, and what is missing is said.
"""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread

from eventing.courier import TRACE
from eventing.metrics import Metrics
from eventing.sources.carrier import Carrier, Route
from eventing.sources.queues import kafkamessage, trust
from eventing.sources.queues.kafkamessage import Made, Record
from kfn.api.kafkasource import MECHANISMS

log = logging.getLogger(__name__)

AGAIN = 5.0  # seconds before brokers that refused are asked again
MISSING = "KafkaSources need a package more: pip install 'kfn[kafka]'"


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are and whom we trust, as it stands in Secrets. Nothing of it is ever shown."""

    tls: bool = False
    sasl: bool = False
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)
    type: bytes = field(default=b"", repr=False)
    ca: bytes = field(default=b"", repr=False)
    cert: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)

    def options(self) -> dict[str, Any]:
        """For aiokafka. Raises ValueError, whose message names the field."""
        made: dict[str, Any] = {"security_protocol": ("SASL_" if self.sasl else "") + ("SSL" if self.tls else "PLAINTEXT")}
        if self.tls:
            made["ssl_context"] = trust.context("spec.net.tls", self.ca, self.cert, self.key)
        if self.sasl:
            mechanism = self.type.decode("utf-8", "replace").strip() or "PLAIN"
            if mechanism not in MECHANISMS:
                raise ValueError(f"spec.net.sasl.type is not one of {', '.join(MECHANISMS)}")
            made["sasl_mechanism"] = mechanism
            made["sasl_plain_username"] = self.user.decode("utf-8", "replace").strip()
            made["sasl_plain_password"] = self.password.decode("utf-8", "replace").strip()
        return made


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read from where, and as whom; a change of it starts the pump anew."""

    servers: tuple[str, ...]
    topics: tuple[str, ...]
    group: str
    latest: bool
    ordered: bool
    login: Login


class KafkaPump:
    """Runs until cancelled. `route` and `made` may be replaced at any time. `problem` is None until something is known, "" while it reads,
    else what is wrong; `changed` is called when it changes."""

    def __init__(
        self, carrier: Carrier, metrics: Metrics, reading: Reading, route: Route, made: Made, changed: Callable[[], None]
    ) -> None:  # fmt: skip
        self.reading, self.route, self.made = reading, route, made
        self.problem: str | None = None
        self._carrier, self._metrics, self._changed = carrier, metrics, changed

    async def run(self) -> None:
        while True:
            try:
                await self._once()
            except ValueError as error:  # the login: a changed Secret starts another pump
                self._told(str(error))
            except ImportError as error:
                self._told(f"{MISSING} ({error.name} is not there)")
            except Exception as error:
                broken = _broken(error)
                if broken is None:
                    log.exception("%s: its reader failed; starting it again", self.route.what)
                self._told(broken or "the reader failed; the log says why")
            await anyio.sleep(AGAIN)

    async def _once(self) -> None:
        reading = self.reading
        options = reading.login.options()
        library = await anyio.to_thread.run_sync(_library)  # 0.2 s, in which others go on
        member = library.Member(
            reading.topics, latest=reading.latest, ordered=reading.ordered, bring=self._bring, told=self._told,
            waiting=lambda count: self._metrics.source_lag(self.route, count),
            options={"bootstrap_servers": list(reading.servers), "group_id": reading.group, "client_id": "kfn", **options},
        )  # fmt: skip
        await member.run()

    async def _bring(self, record: Any) -> None:
        self._metrics.sourced(self.route, "received")
        given = Record(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)
        headers = kafkamessage.texts(given.headers)
        event = kafkamessage.event(given, self.made)
        await self._carrier.bring(lambda: self.route, event, {name: headers[name] for name in TRACE if headers.get(name)})

    def _told(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.log(logging.WARNING if problem else logging.INFO, "%s: %s", self.route.what, problem or "reads")
            self._changed()


def _library() -> ModuleType:
    return importlib.import_module("eventing.sources.queues.member")


def _broken(error: BaseException) -> str | None:
    """What a member said when it could not go on."""
    if isinstance(error, BaseExceptionGroup):
        return next((said for one in error.exceptions if (said := _broken(one))), None)
    return str(error) if type(error).__name__ == "Broken" else None
