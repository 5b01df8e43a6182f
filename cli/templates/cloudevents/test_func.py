"""Calls the handler as the platform does. Run with: python -m pytest"""

from func import handle

import kfn


def test_it_answers_an_event() -> None:
    reply = handle(kfn.Event("com.example.asked", "/test", {"a": 1}))
    assert reply is not None
    assert (reply.type, reply.data) == ("com.example.answered", {"you_sent": {"a": 1}})


def test_it_is_silent_without_data() -> None:
    assert handle(kfn.Event("com.example.asked", "/test")) is None
