"""What a callable takes, told from its signature: a request, an event, either, nothing; or ASGI, or WSGI."""

import inspect
import re
from typing import Any

from kfn.function.errors import HandlerUnusable

EVENT_NAMES = frozenset(("event", "cloudevent", "cloud_event", "ce"))


def takes(call: Any, name: str) -> str:
    """`request`, `event`, `either`, `nothing`, `asgi` or `wsgi`; HandlerUnusable if none fits. `name` is for the message."""
    marked = getattr(call, "__kfn_takes__", None) or getattr(getattr(call, "__func__", None), "__kfn_takes__", None)
    if marked:
        return str(marked)
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return "request"  # a builtin or an extension's function does not say
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    names = [p.name for p in positional]
    if len(names) >= 3 and [n.lstrip("_") for n in names[:3]] == ["scope", "receive", "send"]:
        return "asgi"
    if len(required) == 3 and (inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)):
        return "asgi"
    if len(required) == 2 and (names[0].startswith("env") or "start" in names[1]):
        return "wsgi"
    if len(required) > 1:
        raise HandlerUnusable(
            f"handler `{name}` takes {len(required)} arguments ({', '.join(p.name for p in required)}). "
            "A handler takes (request), (event), (scope, receive, send) or (environ, start_response)."
        )
    if not positional:
        return "request" if any(p.kind is p.VAR_POSITIONAL for p in parameters) else "nothing"
    return _one(positional[0])


def _one(parameter: inspect.Parameter) -> str:
    words = _words(parameter.annotation) if parameter.annotation is not parameter.empty else set()
    event = bool(words & {"Event", "CloudEvent"})
    request = "Request" in words
    if event and request:
        return "either"
    if event or (not request and parameter.name.lower() in EVENT_NAMES):
        return "event"
    return "request"


def _words(annotation: Any) -> set[str]:
    """The names in an annotation, whether it is a type, a union or text."""
    if isinstance(annotation, str):
        return set(re.findall(r"\w+", annotation))
    words = {getattr(annotation, "__name__", "")}
    for part in getattr(annotation, "__args__", ()):
        words |= _words(part)
    return words
