"""The first step: the lines of a text that are not empty."""

import kfn


def handle(event: kfn.Event) -> dict[str, list[str]]:
    text = str(event.data["text"]) if isinstance(event.data, dict) else ""
    return {"lines": [line for line in text.splitlines() if line.strip()]}
