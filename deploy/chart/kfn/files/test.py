"""What `helm test` runs: is every part of kfn well, and does a new function answer through the gateway? The standard library only."""

import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial

DEADLINE = time.monotonic() + float(os.environ["TIMEOUT_SECONDS"])
ADDRESS = os.environ.get("FUNCTION_URL", "")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - http, from the chart
            return answer.status, answer.read(1000).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(1000).decode(errors="replace")


def until(what: str, ask) -> None:
    """Ask until the answer is "": else it is the reason why not."""
    said = ""
    while True:
        try:
            said = ask()
        except OSError as error:
            said = str(error)
        if not said:
            print(f"ok    {what}", flush=True)
            return
        if time.monotonic() > DEADLINE:
            print(f"FAIL  {what}: {said}", flush=True)
            sys.exit(1)
        threading.Event().wait(1)


def listens(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=10):
        return ""


def answers(url: str, wanted: int, text: str = "") -> str:
    status, body = get(url)
    return "" if status == wanted and text in body else f"{url} answered {status}: {body.strip()[:200]}"


for one in os.environ["LISTENING"].split():
    name, _, port = one.rpartition(":")
    until(f"{name} listens on {port}", partial(listens, name, int(port)))
until("the gateway answers", partial(answers, os.environ["GATEWAY_URL"], 404))
if ADDRESS:
    until("a new function answers", partial(answers, ADDRESS, 200, "kfn test"))
