"""The step in the middle: the words of one line. It is called once for each."""

import kfn


def handle(event: kfn.Event) -> dict[str, int]:
    return {"words": len(str(event.data).split())}
