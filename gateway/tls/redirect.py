"""Sending clients that come by plain HTTP to the HTTPS port, as Knative does with `http-protocol: Redirected`. Pure.

Who is sent there is the chain's affair. A proxy before the gateway that has taken HTTPS itself says so in X-Forwarded-Proto.
"""

from gateway.answers import Answer
from gateway.heads import RequestHead
from gateway.route import normal

HTTPS = 443


def to_https(head: RequestHead, port: int) -> Answer:
    """308: the client repeats the method and the body. The host is one that has a Route."""
    target = head.wire.split(b" ", 2)[1]
    host = normal(head.host).encode("latin-1")
    place = host if port == HTTPS else b"%b:%d" % (host, port)
    where = b"https://%b%b" % (place, target if target.startswith(b"/") else b"/")
    return Answer(308, "Permanent Redirect", b"Use %b\n" % where, fields=((b"Location", where),))
