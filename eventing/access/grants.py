"""What a function or a program may do on NATS, as subjects, and the account of its namespace. Pure.

A grant names Brokers (or channels/NAME) to publish to, and consumers to pull from and settle. Beside these there is an inbox of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventing import subjects
from kfn.api import annotations
from kfn.busauth import platform
from kfn.busauth.claims import Account, Permissions, Service
from kfn.busauth.keys import Keys

INBOX = "_INBOX_"


@dataclass(frozen=True, slots=True)
class Consumer:
    place: str  # the Broker it is on
    uid: str  # its Trigger's


@dataclass(frozen=True, slots=True)
class Grant:
    """`role` is what the key is derived from: the Service's name and uid, so that one made anew has another."""

    role: str
    publish: tuple[str, ...] = ()
    pull: tuple[Consumer, ...] = ()


def asked(given: Mapping[str, str], triggers: Mapping[str, Consumer]) -> tuple[tuple[str, ...], tuple[Consumer, ...]]:
    """What annotations ask for. A Trigger that is not there yet is asked for again when it is."""
    publish, pull = annotations.nats_publish(given), annotations.nats_pull(given)
    return publish, tuple(triggers[name] for name in pull if name in triggers)


def inbox(user: str) -> str:
    """Where a user of that public key gets answers, and nobody else does."""
    return f"{INBOX}{user[1:25]}"


def permissions(namespace: str, publish: Sequence[str], pull: Sequence[Consumer], user: str) -> Permissions:
    allowed = [subjects.events(namespace, place) for place in publish]
    for one in pull:
        allowed += _consumer(namespace, one)
    return Permissions(tuple(allowed), (f"{inbox(user)}.>",))


def account(keys: Keys, namespace: str, grants: Sequence[Grant]) -> Account:
    """A namespace's account: the events of its own places, the consumers of its grants, and a role for each grant."""
    own, source = keys.namespace(namespace).public, keys.platform.public
    taken = {subjects.events(namespace, "x").replace(".x.", ".*."): Service("publish", "", account=source)}
    for consumer in sorted({one for grant in grants for one in grant.pull}, key=lambda one: one.uid):
        for number, subject in enumerate(_consumer(namespace, consumer)):
            name, many = platform.OFFERED[number + 1].name, platform.OFFERED[number + 1].many
            taken[subject] = Service(f"{name} {consumer.uid}", "", many, source)
    roles = []
    for grant in sorted(grants, key=lambda one: one.role):
        user = keys.user(namespace, grant.role).public
        allowed = permissions(namespace, grant.publish, grant.pull, user)
        roles.append((grant.role, keys.role(namespace, grant.role).public, allowed))
    imports = tuple(Service(one.name, subject, one.many, source) for subject, one in taken.items())
    return Account(f"kfn-{namespace}", own, imports=imports, roles=tuple(roles))


def _consumer(namespace: str, one: Consumer) -> tuple[str, ...]:
    """In the order of what the platform's account offers. The number of tokens is what keeps one consumer's from being another's."""
    at = f"{subjects.stream(namespace, one.place)}.{subjects.consumer(one.uid)}"
    return (f"$JS.API.CONSUMER.MSG.NEXT.{at}", f"$JS.API.CONSUMER.INFO.{at}", f"$JS.ACK.{at}.*.*.*.*.*")
