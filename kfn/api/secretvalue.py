"""Values that stand in Secrets, and TLS made of such: what the sources share that read from a message system."""

from kfn.api.base import Base

SECRET = "kfn-sources"  # noqa: S105 - the one name, beside that of webhooks, that eventing may read in every namespace without being given more


class SecretKeySelector(Base, frozen=True):
    """A key of a Secret in the same namespace."""

    name: str = ""
    key: str = ""


class SecretValue(Base, frozen=True):
    secret_key_ref: SecretKeySelector = SecretKeySelector()


class TlsSpec(Base, frozen=True):
    """Everything in PEM. Without `ca_cert` the system's authorities count."""

    enable: bool = False
    cert: SecretValue | None = None
    key: SecretValue | None = None
    ca_cert: SecretValue | None = None
