"""Takes CloudEvents. What `handle` returns is sent back into the broker as an event; None sends nothing."""

import logging

import kfn


def handle(event: kfn.Event) -> kfn.Event | None:
    logging.info("got %s from %s", event.type, event.source)
    if not isinstance(event.data, dict):
        return None
    return event.reply("com.example.answered", {"you_sent": event.data})
