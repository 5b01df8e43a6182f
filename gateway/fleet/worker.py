"""One worker of a gateway: `python -m gateway.fleet.worker FD PARENT`, started by `workers.py`, which tells it over FD what to be.

It ends in order on a signal, and at once with its parent, however that ends.
"""

import sys


def main() -> None:
    """The first thing is to be bound to the parent; the imports take half a second."""
    from kfn import process_death

    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    process_death.die_with_parent(parent)

    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command, which costs 0.1 s; see cli/session.py
    import anyio

    from gateway.fleet import life as worker_life

    sys.exit(anyio.run(worker_life.run, fd, backend_options={"use_uvloop": True}))


if __name__ == "__main__":
    main()
