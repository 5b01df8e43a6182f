"""What one ApiServerSource watches and sends, as its adapter is told it: one JSON text, in the environment of a pod. Pure."""

import hashlib
from typing import Any

import msgspec

from kfn.api import selector
from kfn.api.apiserversource import DEFAULT_ACCOUNT, REFERENCE, ApiServerSource

SINK, CONFIG, TOKENS = "K_SINK", "K_SOURCE_CONFIG", "K_SINK_TOKENS"  # names of variables; the last is a folder


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Objects of one kind, and the labels that choose among them, as a list takes them."""

    api_version: str
    kind: str
    labels: str = ""


class Owner(msgspec.Struct, frozen=True, omit_defaults=True):
    api_version: str = ""
    kind: str = ""


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """`namespaces` None is all. `source` is the attribute of the events, `salt` what tells this source's ids from another's."""

    namespace: str
    name: str
    source: str
    salt: str
    resources: tuple[Resource, ...]
    namespaces: tuple[str, ...] | None = None
    mode: str = REFERENCE
    owner: Owner | None = None
    extensions: dict[str, str] = {}
    filters: tuple[dict[str, Any], ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def of(source: ApiServerSource, at: str, namespaces: tuple[str, ...] | None) -> Config:
    """`at` is the API server's URL: what Knative has as the events' source."""
    spec, meta = source.spec, source.metadata
    return Config(
        meta.namespace,
        meta.name,
        at,
        _salt(source),
        tuple(dict.fromkeys(Resource(one.api_version, one.kind, selector.text(one.selector)) for one in spec.resources)),
        namespaces,
        spec.mode or REFERENCE,
        Owner(spec.owner.api_version, spec.owner.kind) if spec.owner else None,
        spec.extensions,
        tuple(spec.filters),
    )


def dumps(config: Config) -> str:
    return msgspec.json.encode(config, order="sorted").decode()


def loads(text: str) -> Config:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(text.encode(), type=Config)


def account(source: ApiServerSource) -> str:
    return source.spec.service_account_name or DEFAULT_ACCOUNT


def _salt(source: ApiServerSource) -> str:
    """Two sources that watch the same object must not have each other's events taken for repetitions of their own, nor a source
    that has come to send other events; where it sends them and which objects it watches makes no difference."""
    spec = source.spec
    told = msgspec.json.encode([source.metadata.uid, spec.mode or REFERENCE, sorted(spec.extensions.items())])
    return hashlib.sha256(told).hexdigest()[:8]
