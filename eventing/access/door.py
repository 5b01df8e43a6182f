"""The door for programs outside: POST <a Broker's or Channel's address>/nats-credentials, with the platform's token, gives a .creds file
that opens these places to publishers, and nothing else. It ends by itself; nobody takes it back before."""

import secrets
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from eventing import login
from eventing.access import grants
from eventing.doors import authorize
from eventing.ingress import AT, AT_CHANNEL, Ingress, Refusal, place
from eventing.settings import Settings
from kfn.busauth import claims
from kfn.busauth.keys import Keys
from kfn.busauth.nkey import Key

DAY = 86400
LONGEST = 366 * DAY  # seconds


def routes(ingress: Ingress, settings: Settings) -> list[BaseRoute]:
    async def give(request: Request) -> Response:
        try:
            authorize(request, settings.token)
            namespace, at = request.path_params["namespace"], place(request)
            ingress.require(namespace, at)
            if not settings.nats_keys:
                raise Refusal(409, "this platform's NATS has no accounts, so it has no credentials to give")
            lasts = _seconds(request.query_params.get("for", str(DAY)))
        except Refusal as refusal:
            return JSONResponse({"error": refusal.text}, refusal.status, refusal.headers)
        return JSONResponse(given(settings, namespace, at, lasts), headers={"Cache-Control": "no-store"})

    return [Route(f"{at}/nats-credentials", give, methods=["POST"]) for at in (AT, AT_CHANNEL)]


def given(settings: Settings, namespace: str, place: str, lasts: int) -> dict[str, str]:
    """Signed by the namespace's account itself: its user has permissions of its own."""
    keys, key = Keys(settings.nats_keys), Key("user", secrets.token_bytes(32))
    allowed = grants.permissions(namespace, (place,), (), key.public)
    token = claims.user(keys.namespace(namespace), f"{namespace}/outside", key.public, allowed, int(time.time()), lasts=lasts)
    return {
        "url": settings.nats_url, "credentials": claims.credentials(token, key), "inbox": grants.inbox(key.public),
        "authority": login.authority(settings), "subject": allowed.publish[0],
    }  # fmt: skip


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 0 < int(text) <= LONGEST):
        raise Refusal(400, f"for: seconds, from 1 to {LONGEST}")
    return int(text)
