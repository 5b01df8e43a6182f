"""The first step: a text's lines that are not empty, in shares to count."""

import kfn


def handle(event: kfn.Event) -> dict[str, list[str]]:
    text = str(event.data["text"]) if isinstance(event.data, dict) else ""
    return {"lines": [line for line in text.splitlines() if line.strip()]}
