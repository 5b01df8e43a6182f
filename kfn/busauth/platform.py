"""The accounts that every platform has: the system's, and its own, which stores the events and offers namespaces what concerns them.

What it offers is the same whatever namespaces there are, so that it never has to change under a connection. Which part of that
a namespace takes is in the namespace's account, and only the operator can write that.
"""

from kfn.busauth import claims
from kfn.busauth.claims import Account, Permissions, Service
from kfn.busauth.keys import Keys

PUBLISH = "kfn.*.*.ev.>"
NEXT = "$JS.API.CONSUMER.MSG.NEXT.*.*"
INFO = "$JS.API.CONSUMER.INFO.*.*"
SETTLE = "$JS.ACK.*.*.*.*.*.*.*"

OFFERED = (
    Service("publish", PUBLISH),
    Service("pull", NEXT, many=True),
    Service("consumer", INFO),
    Service("settle", SETTLE),
)
EVENTING = Permissions(
    ("$JS.API.>", "$JS.ACK.>", "kfn.>", "kfn-ended.>"), ("_INBOX.>", "kfn-ended.>")
)  # the last: ends of pipelines, between replicas
WARDEN = Permissions(("$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST"), ("_INBOX.>",))


def accounts(keys: Keys, now: int) -> dict[str, str]:
    """The claims of those two, by their public keys."""
    system = Account("kfn-system", keys.system.public)
    own = Account("kfn", keys.platform.public, streams=True, exports=OFFERED)
    return {one.key: claims.account(keys.operator, one, now) for one in (system, own)}


def operator(keys: Keys, now: int) -> str:
    return claims.operator(keys.operator, keys.system.public, now)


def eventing(keys: Keys, now: int) -> str:
    """kfn's own user: everything on its own streams, and nothing of the server's."""
    return claims.user(keys.platform, "kfn-eventing", keys.user("eventing").public, EVENTING, now)


def warden(keys: Keys, now: int) -> str:
    """Who tells the server of accounts, and may do nothing else."""
    return claims.user(keys.system, "kfn-warden", keys.user("warden").public, WARDEN, now)
