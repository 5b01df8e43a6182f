"""Imports a function's handler as its process would, and says when. Runs in a process of its own. Standard library only.

Started as `python -X importtime -B worker.py JOB`. The interpreter writes every import to stderr; the marks that this writes there
tell which of them belong to kfn's runtime and which to the handler. The last line of stdout is the answer.
"""

import sys
from time import time

STARTED = time()
MARKS = ("kfn-profile-runtime", "kfn-profile-handler", "kfn-profile-end")


def main() -> None:
    import json
    import os
    import site

    job = json.loads(sys.argv[1])
    sys.path[0:1] = job["runtime"]
    for folder in job["deps"]:
        site.addsitedir(folder)
    standard = sorted(sys.stdlib_module_names)
    out, stdout = os.dup(1), sys.stdout
    os.dup2(2, 1)  # what the function prints while it is imported is not our answer
    begin = time()
    mark(MARKS[0])
    # What kfn.function.main imports before it looks for the handler.
    for name in ("asyncio", "kfn.function.logs", "kfn.function.settings", "kfn.function.loader", "kfn.function.server"):
        __import__(name)
    sys.path.insert(0, job["source"])
    loaded = time()
    mark(MARKS[1])
    module = job["handler"].partition(":")[0]
    error = ""
    try:
        __import__(module)  # importlib's own function is not in the interpreter's report
    except BaseException as failure:  # a module may raise anything, SystemExit included
        error = describe(failure, job["source"])
    mark(MARKS[2])
    stdout.flush()
    spawned = float(os.environ.get("KFN_SPAWNED_AT", STARTED))
    answer = {"interpreter": STARTED - spawned, "runtime": loaded - begin, "standard": standard, "error": error}
    os.write(out, (json.dumps(answer) + "\n").encode())
    os._exit(0)  # threads that an import started, and what was registered to run at exit, are nobody's business here


def mark(text: str) -> None:
    sys.stderr.write(f"\n{text}\n")
    sys.stderr.flush()


def describe(failure: BaseException, source: str) -> str:
    """`KeyError: 'DB' (func.py:3)`: the last place in the function's own source."""
    import traceback

    places = [f for f in traceback.extract_tb(failure.__traceback__) if f.filename.startswith((source, "/func/"))]
    where = f" ({places[-1].filename.rpartition('func/')[2]}:{places[-1].lineno})" if places else ""
    return f"{type(failure).__name__}: {failure}"[:500] + where


if __name__ == "__main__":
    main()
