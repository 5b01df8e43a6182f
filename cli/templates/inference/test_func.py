"""Calls the model as the platform does. Run with: python -m pytest"""

from func import Model

import kfn


def loaded() -> Model:
    model = Model()
    model.load()
    return model


def test_it_scores_a_request() -> None:
    assert loaded().handle(kfn.Request("POST", "/", body=b'{"text": "great!"}'))["score"] == 2.0


def test_it_answers_an_event_with_an_event() -> None:
    reply = loaded().handle(kfn.Event("com.example.text", "/test", {"text": "awful"}))
    assert (reply.type, reply.data["score"]) == ("com.example.scored", -2.0)
