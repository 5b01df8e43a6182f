"""A small pooled HTTP/1.1 client on asyncio and httptools, for calls on a hot path such as event delivery.

It costs a tenth of httpx's CPU. It does no redirects, cookies, proxies or compression; callers bound how much they send at once.
"""

from kfn.http1.client import Client
from kfn.http1.errors import ConnectFailed, Disconnected, HttpError, InvalidUrl, TimedOut, TooLarge
from kfn.http1.exchange import Response

__all__ = ["Client", "ConnectFailed", "Disconnected", "HttpError", "InvalidUrl", "Response", "TimedOut", "TooLarge"]
