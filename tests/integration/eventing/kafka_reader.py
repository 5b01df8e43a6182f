"""One replica's reader of a topic, as a process that a test kills: `python -m ...kafka_reader SERVER TOPIC GROUP URL`."""

import sys

import anyio

from eventing.courier import Courier
from eventing.delivery import Policy
from eventing.metrics import Metrics
from eventing.settings import Settings
from eventing.sources.carrier import Carrier, Route
from eventing.sources.queues.kafkamessage import Made
from eventing.sources.queues.kafkapump import KafkaPump, Login, Reading


def pump(server: str, topic: str, group: str, url: str, *, ordered: bool = True, latest: bool = False) -> KafkaPump:
    metrics = Metrics()
    carrier = Carrier(Courier(Settings()), metrics, held=0.2)
    route = Route("kafka", "default/orders", url, Policy(retry=1000, exponential=False, delay=0.01))
    reading = Reading((server,), (topic,), group, latest, ordered, Login())
    return KafkaPump(carrier, metrics, reading, route, Made("default", "orders"), lambda: None)


if __name__ == "__main__":
    anyio.run(pump(*sys.argv[1:5]).run)
