"""Start the function of an image: `python3 /opt/kfn/runtime/start.py`, where this file lies beside the package `kfn`.

Dependencies come after the standard library, which they cannot shadow, and before what the base has installed. Their `.pth`
files are read, as in an environment of their own. It has no bytecode, as every script, so it is short.
"""

import os
import site
import sys

DEPS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "deps")
FOREIGN = ("site-packages", "dist-packages")


def add(folders: list[str]) -> None:
    """Put the folders that are there, and what their `.pth` files name, behind the standard library."""
    before = sys.path[:]
    for folder in folders:
        site.addsitedir(folder)
    added = [path for path in sys.path if path not in before]
    rest = [path for path in sys.path if path not in added]  # a `.pth` file may have put something to the front
    place = next((n for n, path in enumerate(rest) if os.path.basename(path) in FOREIGN), len(rest))
    sys.path[:] = [*rest[:place], *added, *rest[place:]]


if __name__ == "__main__":
    add([DEPS])
    from kfn.function.__main__ import leave
    from kfn.function.main import main

    leave(main())
