"""Keeps pulls parked at one durable consumer, so that events come as soon as they are stored, and no more than wanted.

A pull waits 5 s at most, with heartbeats: one that the server forgot (restart, reconnect) is noticed and asked again.
What happens to a message is the receiver's business.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from nats.aio.msg import Msg

from eventing.bus import Bus

log = logging.getLogger(__name__)

EXPIRES = 5.0
HEARTBEAT = 1.5
_HEARTBEATS_END = 2 * HEARTBEAT + 0.5


class Puller:
    """`free` says how many more messages the receiver can take; `more()` says that this grew. `lost` is called when the
    consumer is gone.

    Of those that pull with a `group` one is pinned at a time and gets everything; `pinned` is called before its first message,
    `unpinned` when another has taken its place."""

    def __init__(
        self,
        bus: Bus,
        stream: str,
        consumer: str,
        *,
        receive: Callable[[Msg], Awaitable[None]],
        free: Callable[[], int],
        lost: Callable[[], None],
        group: str = "",
        expires: float = EXPIRES,
        pinned: Callable[[], None] = lambda: None,
        unpinned: Callable[[], None] = lambda: None,
    ) -> None:
        self.pin = ""  # names our time as the one that is pinned
        self._group, self._pinned, self._unpinned = group, pinned, unpinned
        self._expires, self._heartbeat = expires, min(HEARTBEAT, expires / 3)
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._receive, self._free, self._lost = receive, free, lost
        self._inbox = bus.client.new_inbox()
        self._wake = anyio.Event()
        self._pulls: dict[str, float] = {}  # reply subject -> when the server gives up on it
        self._credit = 0  # messages asked for and not received
        self._number = 0
        self._heard = 0.0
        self._not_before = 0.0

    def more(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Pull until cancelled."""
        subscription = await self._bus.client.subscribe(f"{self._inbox}.*", cb=self._on_message)
        forget = self._bus.on_reconnect(self._reset)
        try:
            while True:
                await self._top_up()
                with anyio.move_on_after(_HEARTBEATS_END):
                    await self._wake.wait()
                self._wake = anyio.Event()
        finally:
            forget()
            with anyio.CancelScope(shield=True):
                await _unsubscribe(subscription)

    async def _top_up(self) -> None:
        now = anyio.current_time()
        if now < self._not_before:
            await anyio.sleep(self._not_before - now)
            now = anyio.current_time()
        self._pulls = {reply: end for reply, end in self._pulls.items() if end > now}
        if not self._pulls or now - self._heard > _HEARTBEATS_END:
            self._pulls, self._credit = {}, 0
        wanted = self._free() - self._credit
        if wanted <= 0 or wanted < self._credit or not self._bus.is_up:
            return
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        self._pulls[reply] = now + self._expires + 1
        self._credit += wanted
        self._heard = now
        request: dict[str, Any] = {"batch": wanted, "expires": int(self._expires * 1e9), "idle_heartbeat": int(self._heartbeat * 1e9)}
        if self._group:
            request |= {"group": self._group, "id": self.pin} if self.pin else {"group": self._group}
        await self._bus.send(self._subject, json.dumps(request).encode(), reply)

    async def _on_message(self, message: Msg) -> None:
        self._heard = anyio.current_time()
        if message.subject.startswith(self._inbox):
            self._on_status(message)
            return
        self._credit -= 1
        if self._credit <= 0:
            self._wake.set()
        if self._group:
            self._see_pin((message.headers or {}).get("Nats-Pin-Id", ""))
        try:
            await self._receive(message)
        except Exception:  # the library would drop it without a word; the event comes again
            log.exception("a message of %s could not be taken in", message.subject)

    def forget_pin(self) -> None:
        self.pin = ""

    def _see_pin(self, pin: str) -> None:
        if pin and pin != self.pin:
            self.pin = pin
            self._pinned()

    def _on_status(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100":
            return
        self._credit -= int(headers.get("Nats-Pending-Messages") or 0)
        self._pulls.pop(message.subject, None)
        if status != "408":  # 408 is the end of a pull's time
            told = headers.get("Description", "")
            log.debug("pull ended: %s %s", status, told)
            self._not_before = anyio.current_time() + 0.2
            if status == "423":
                self.pin = ""
                self._unpinned()
            if status == "503" or "deleted" in told.lower():
                self._lost()
        self._wake.set()

    def _reset(self) -> None:
        self._pulls, self._credit = {}, 0
        self._wake.set()


async def _unsubscribe(subscription: object) -> None:
    try:
        await subscription.unsubscribe()  # type: ignore[attr-defined]
    except Exception as error:  # the connection may be gone, and with it the subscription
        log.debug("unsubscribe: %s", error)
