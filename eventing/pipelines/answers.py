"""A function's answer as the output of a step: JSON, or text, which is JSON's string then. Pure."""

import msgspec

from kfn import http1
from kfn.cloudevents import InvalidEvent
from kfn.cloudevents import http as binding
from kfn.cloudevents.json import is_json


class Unusable(Exception):
    """The answer cannot be an output; the message says why."""


def output(response: http1.Response, most: int) -> bytes:
    """JSON. Raises `Unusable`. A CloudEvent's data counts; nothing is null."""
    body, media = response.body, response.header(b"content-type").decode("latin-1")
    if binding.is_event(response.headers):
        try:
            events = binding.parse(response.headers, body)
        except InvalidEvent as error:
            raise Unusable(f"the answer is not a valid CloudEvent: {error}") from None
        if len(events) != 1:
            raise Unusable("the answer is a batch of events; answer with one, or with a list")
        body, media = events[0].data or b"", events[0].datacontenttype
    if len(body) > most:
        raise Unusable(f"the answer has {len(body)} bytes, an output at most {most}; store it elsewhere and answer with where it is")
    if not body:
        return b"null"
    if not is_json(media.strip()):
        return _text(body, media)
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        if media:
            raise Unusable(f"the answer says that it is {media}, and is not") from None
        return _text(body, "")
    return body


def _text(body: bytes, media: str) -> bytes:
    try:
        return msgspec.json.encode(body.decode())
    except UnicodeDecodeError:
        raise Unusable(f"the answer ({media or 'without a Content-Type'}) is neither JSON nor text") from None
