"""How an image that is not Python's starts as a process of this machine: its entrypoint, with the image's folders for the container's.

A program (`dev.kfn.runtime: binary`) is started where it was unpacked; a Node function by the node of this machine.
"""

import shutil
from pathlib import Path

from builder.platform import host
from builder.store import Image
from embedded.node.errors import BadImage

RUNTIMES = ("binary", "node")
FUNC = "/func"


def command(image: Image, source: Path) -> tuple[str, ...]:
    """`source` is where the image's /func lies. Blocks. Raises BadImage with what is missing on this machine."""
    architecture = str(image.config.get("architecture") or host().architecture)
    if architecture != host().architecture:
        raise BadImage(f"the image is for {architecture}, this machine is {host().architecture}; deploy the function's folder here")
    config = image.config.get("config") or {}
    words = [str(word) for word in (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))]
    if not words:
        raise BadImage("the image has no entrypoint; build the function again")
    return (_program(words[0], source), *(_inside(word, source) for word in words[1:]))


def _program(word: str, source: Path) -> str:
    if "/" in word:
        return _inside(word, source)
    found = shutil.which(word)
    if not found:
        advice = "Install Node.js, or put it on the PATH of `kfn up`" if word == "node" else "Install it"
        raise BadImage(f"the image is started by {word}, which is not on this machine. {advice}")
    return found


def _inside(word: str, source: Path) -> str:
    return str(source) + word.removeprefix(FUNC) if word == FUNC or word.startswith(f"{FUNC}/") else word
