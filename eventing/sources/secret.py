"""A value of a Secret, as a source asks for it; what is wrong with it comes with the fix, and never with the value."""

import base64
import binascii

from kfn.api import kinds
from kfn.api.secretvalue import SECRET, SecretValue
from kfn.kube import errors as kube
from kfn.kube.client import Client


class Unread(Exception):
    """The value is not to be had, now; `reason` is for the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def read(client: Client, namespace: str, name: str, key: str, field: str, usual: str) -> bytes:
    """`usual` is the name that eventing may read without being given more. Raises `Unread`, whose message names the field."""
    where = f"{field}: Secret {namespace}/{name}"
    try:
        found = await client.get(kinds.SECRET, name, namespace)
    except kube.NotFound:
        raise Unread("NotFound", f"{where} does not exist") from None
    except kube.Forbidden:
        fix = f"name it {usual}, or let the service account of kfn-eventing get it"
        raise Unread("Forbidden", f"{where} may not be read; {fix}") from None
    try:
        value = base64.b64decode(found.data[key], validate=True)
    except KeyError:
        raise Unread("NoKey", f"{where} has no key {key!r}") from None
    except binascii.Error:
        raise Unread("InvalidKey", f"{where}: its key {key!r} is not base64") from None
    if not value:
        raise Unread("EmptyKey", f"{where}: its key {key!r} is empty")
    return value


async def values(client: Client, namespace: str, wanted: dict[str, SecretValue | None]) -> dict[str, bytes]:
    """What stands behind each field; those without a reference are left out. Raises `Unread`."""
    found = {}
    for field, value in wanted.items():
        if value is not None:
            ref = value.secret_key_ref
            found[field] = await read(client, namespace, ref.name or SECRET, ref.key, f"{field}.secretKeyRef", SECRET)
    return found
