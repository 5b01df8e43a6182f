"""A process of a test cluster: lets whoever has a volume write to it. `python volumes.py FOLDER`; standard library only.

The controller manager's provisioner makes folders that only root may write, and the kubelet applies no fsGroup to a hostPath. What
real clusters have does one or the other.
"""

import os
import stat
import sys
import threading
from contextlib import suppress

EVERY = 0.1  # seconds; a pod needs longer from its volume to its first start


def main(folder: str) -> None:
    while True:
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            with suppress(FileNotFoundError):
                if stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode) != 0o777:
                    os.chmod(entry.path, 0o777)
        threading.Event().wait(EVERY)


if __name__ == "__main__":
    main(sys.argv[1])
