"""How eventing shows NATS who it is, and checks who NATS is: what nats-py takes for each connection, read anew with every attempt."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventing.settings import Settings
from kfn.busauth import nkey, platform, trust
from kfn.busauth.keys import Keys
from kfn.busauth.nkey import Identity, Key


def options(settings: Settings) -> dict[str, Any]:
    """As the one who stores and delivers events."""
    if settings.nats_keys:
        keys = Keys(settings.nats_keys)
        return _signed(keys.user("eventing"), lambda now: platform.eventing(keys, now))
    if settings.nats_credentials:
        file = Path(settings.nats_credentials)
        return {
            "user_jwt_cb": lambda: nkey.from_credentials(file.read_text()).jwt.encode(),
            "signature_cb": lambda nonce: nkey.from_credentials(file.read_text()).sign(nonce),
        }
    return {"user": settings.nats_user or None, "password": settings.nats_password or None}


def warden(keys: Keys) -> dict[str, Any]:
    """As the one who tells the server of accounts."""
    return _signed(keys.user("warden"), lambda now: platform.warden(keys, now))


def authority(settings: Settings) -> str:
    """Who signs NATS's certificate, in PEM; empty if that is nobody in particular."""
    if settings.nats_ca:
        return Path(settings.nats_ca).read_text()
    if settings.nats_keys and settings.nats_url.startswith("tls://"):
        return trust.authority(Keys(settings.nats_keys)).decode()
    return ""


def tls(settings: Settings) -> Callable[[], ssl.SSLContext] | None:
    """Makes the context for an attempt from the files as they are then; None: the connection is not secured."""
    if not (settings.nats_url.startswith("tls://") or settings.nats_ca or settings.nats_certificate):
        return None

    def made() -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=authority(settings) or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.nats_certificate:
            context.load_cert_chain(settings.nats_certificate, settings.nats_key or None)
        return context

    return made


def _signed(key: Key, token: Callable[[int], str]) -> dict[str, Any]:
    return {
        "user_jwt_cb": lambda: token(int(time.time())).encode(),
        "signature_cb": Identity(key).sign,
    }
