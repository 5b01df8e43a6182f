"""Become another user and nothing but that, then become a program: `python -IS asuser.py UID MESSAGE PROGRAM ARGUMENT...`, started by root.

uvloop cannot start a process as somebody else. If the program cannot be started, MESSAGE gets a result that says why.
"""

import json
import os
import sys


def main(uid: int, message: str, argv: list[str]) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        why = f"{argv[0]} cannot be started as uid {uid}, which builds run as because this platform is root's: {error.strerror}"
        fix = "Run `kfn up` as an ordinary user, set KFN_BUILD_PYTHON, or build without --remote"
        with open(message, "w") as file:
            json.dump({"result": "failed", "code": 1, "reason": "CannotStart", "message": f"{why}. {fix}"}, file)
        sys.exit(126)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
