"""What the warm parent's spare child does before it is a function."""

import gc
import threading

from kfn.function import main


def test_a_rehearsal_serves_a_request_and_leaves_nothing_behind() -> None:
    threads, was = set(threading.enumerate()), gc.isenabled()
    try:
        main.rehearse()
        assert not gc.isenabled()
    finally:
        gc.unfreeze()
        if was:
            gc.enable()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert set(threading.enumerate()) <= threads
