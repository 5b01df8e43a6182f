"""Rules for Channel, InMemoryChannel, Subscription, Sequence and Parallel."""

from collections.abc import Callable
from typing import Any

from kfn.api import names, naming
from kfn.api.errors import FieldError
from kfn.api.flows import Parallel, Sequence
from kfn.api.limits import STEPS_MAX
from kfn.api.messaging import API_VERSION, Channel, ChannelTemplate, InMemoryChannel, Subscription
from kfn.api.meta import ObjectMeta
from kfn.api.validate_eventing import absolute, delivery, destination

UID_MAX = 100
NAME_MAX = 63 - len("-kn-parallel-filter-63")  # channels and subscriptions are named after it


def channel(obj: Channel, old: Channel | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    errors += naming.secret_annotation(obj.metadata.annotations, names.AUTH)
    errors += _template(obj.spec.channel_template)
    errors += delivery(obj.spec.delivery, "spec.delivery")
    if old is not None and old.spec.channel_template is not None and old.spec.channel_template != obj.spec.channel_template:
        errors.append(FieldError("spec.channelTemplate", "immutable; delete the Channel and create it anew"))
    return errors


def in_memory_channel(obj: InMemoryChannel, old: InMemoryChannel | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata) + delivery(obj.spec.delivery, "spec.delivery")
    seen: set[str] = set()
    for i, one in enumerate(obj.spec.subscribers):
        at = f"spec.subscribers[{i}]"
        if not one.uid or len(one.uid) > UID_MAX:
            errors.append(FieldError(f"{at}.uid", f"needs 1 to {UID_MAX} characters; what waits for the subscriber is kept under it"))
        elif one.uid in seen:
            errors.append(FieldError(f"{at}.uid", f"{one.uid!r} is there already"))
        seen.add(one.uid)
        if not one.subscriber_uri and not one.reply_uri:
            errors.append(FieldError(f"{at}.subscriberUri", "missing; set subscriberUri, replyUri, or both"))
        for name, uri in (("subscriberUri", one.subscriber_uri), ("replyUri", one.reply_uri)):
            if uri:
                errors += absolute(uri, f"{at}.{name}")
        errors += delivery(one.delivery, f"{at}.delivery")
    return errors


def subscription(obj: Subscription, old: Subscription | None) -> list[FieldError]:
    errors = naming.subdomain_name(obj.metadata)
    spec = obj.spec
    for field, given, fix in (
        ("kind", spec.channel.kind, "such as Channel"),
        ("name", spec.channel.name, "the Channel's name"),
        ("apiVersion", spec.channel.api_version, f"such as {API_VERSION}"),
    ):
        if not given:
            errors.append(FieldError(f"spec.channel.{field}", f"missing; {fix}"))
    if spec.channel.namespace not in ("", obj.metadata.namespace):
        errors.append(FieldError("spec.channel.namespace", "a Subscription is in the namespace of its Channel; remove it"))
    if old is not None and old.spec.channel != spec.channel:
        errors.append(FieldError("spec.channel", f"immutable: it is {old.spec.channel.name!r}; delete the Subscription and create it anew"))
    if _empty(spec.subscriber) and _empty(spec.reply):
        errors.append(FieldError("spec.subscriber", "missing; set subscriber, reply, or both"))
    for name, one in (("subscriber", spec.subscriber), ("reply", spec.reply)):
        if one is not None and not _empty(one):
            errors += destination(one, f"spec.{name}")
    return errors + delivery(spec.delivery, "spec.delivery")


def sequence(obj: Sequence, old: Sequence | None) -> list[FieldError]:
    spec = obj.spec
    errors = _flow_name(obj.metadata) + _count(len(spec.steps), "spec.steps", "step")
    for i, step in enumerate(spec.steps):
        errors += destination(step, f"spec.steps[{i}]", required=True)
        errors += delivery(step.delivery, f"spec.steps[{i}].delivery")
    if spec.reply is not None:
        errors += destination(spec.reply, "spec.reply")
    return errors + _template(spec.channel_template)


def parallel(obj: Parallel, old: Parallel | None) -> list[FieldError]:
    spec = obj.spec
    errors = _flow_name(obj.metadata) + _count(len(spec.branches), "spec.branches", "branch")
    for i, branch in enumerate(spec.branches):
        at = f"spec.branches[{i}]"
        errors += destination(branch.subscriber, f"{at}.subscriber", required=True)
        for name, one in (("filter", branch.filter), ("reply", branch.reply)):
            if one is not None:
                errors += destination(one, f"{at}.{name}")
        errors += delivery(branch.delivery, f"{at}.delivery")
    if spec.reply is not None:
        errors += destination(spec.reply, "spec.reply")
    return errors + _template(spec.channel_template)


def _empty(value: Any) -> bool:
    return value is None or (value.ref is None and not value.uri)


def _template(value: ChannelTemplate | None) -> list[FieldError]:
    if value is None:
        return []
    missing = (("apiVersion", value.api_version), ("kind", value.kind))
    return [FieldError(f"spec.channelTemplate.{name}", "missing; remove channelTemplate, kfn needs none") for name, it in missing if not it]


def _count(found: int, at: str, what: str) -> list[FieldError]:
    if not found:
        return [FieldError(at, f"missing; give at least one {what}")]
    return [FieldError(at, f"{found} are too many; {STEPS_MAX} are possible")] if found > STEPS_MAX else []


def _flow_name(meta: ObjectMeta) -> list[FieldError]:
    errors = naming.subdomain_name(meta)
    if len(meta.name) > NAME_MAX:
        errors.append(FieldError("metadata.name", f"is longer than {NAME_MAX} characters; its channels are named after it"))
    return errors


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {
    "channels.messaging.knative.dev": channel,
    "inmemorychannels.messaging.knative.dev": in_memory_channel,
    "subscriptions.messaging.knative.dev": subscription,
    "sequences.flows.knative.dev": sequence,
    "parallels.flows.knative.dev": parallel,
}
