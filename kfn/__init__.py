"""The nouns every part of kfn shares, and what a function's author imports: Request, Response, Event, cloudevent.

Nothing is imported until it is used, so `import kfn` costs nothing.
"""

TYPE_CHECKING = False  # as `typing` has it, without the 8 ms of importing that
if TYPE_CHECKING:
    from kfn.function.event import Event, cloudevent
    from kfn.function.message import Request, Response

__all__ = ["Event", "Request", "Response", "cloudevent"]

_WHERE = {
    "Event": "kfn.function.event",
    "cloudevent": "kfn.function.event",
    "Request": "kfn.function.message",
    "Response": "kfn.function.message",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'kfn' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    value: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
