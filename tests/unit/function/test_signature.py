"""What a handler takes, told from its signature."""

from collections.abc import Callable
from typing import Any, Union

import pytest

import kfn
from kfn.function.errors import HandlerUnusable
from kfn.function.kinds.signature import takes


class App:
    async def __call__(self, s: Any, r: Any, x: Any) -> None: ...


class Flask:
    def __call__(self, environ: Any, start_response: Any) -> None: ...


def request(request): ...  # type: ignore[no-untyped-def]
def event(event): ...  # type: ignore[no-untyped-def]
def annotated(it: kfn.Event) -> None: ...
def generic(it: kfn.Event[dict]) -> None: ...  # type: ignore[type-arg]
def text(it: "kfn.Event | None") -> None: ...
def union(it: kfn.Request | kfn.Event) -> None: ...
def old_union(it: Union[kfn.Request, kfn.Event]) -> None: ...  # noqa: UP007
def named_event_but_request(event: kfn.Request) -> None: ...
def nothing() -> None: ...
def anything(*args: Any) -> None: ...
def optional(request: Any, more: int = 1) -> None: ...
async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def wsgi(environ: Any, start_response: Any) -> None: ...
@kfn.cloudevent
def marked(it: Any) -> None: ...


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (request, "request"),
        (event, "event"),
        (annotated, "event"),
        (generic, "event"),
        (text, "event"),
        (union, "either"),
        (old_union, "either"),
        (named_event_but_request, "request"),
        (nothing, "nothing"),
        (anything, "request"),
        (optional, "request"),
        (asgi, "asgi"),
        (App(), "asgi"),
        (wsgi, "wsgi"),
        (Flask(), "wsgi"),
        (marked, "event"),
    ],
)
def test_the_signature_decides(call: Callable[..., Any], expected: str) -> None:
    assert takes(call, "func:x") == expected


def test_what_fits_nothing_is_refused_with_its_arguments() -> None:
    with pytest.raises(HandlerUnusable, match=r"`func:x` takes 2 arguments \(a, b\)"):
        takes(lambda a, b: None, "func:x")
