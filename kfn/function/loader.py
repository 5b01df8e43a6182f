"""Import the handler and choose its kind. Whatever goes wrong becomes a StartError that names file, line and remedy."""

import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import Any

from kfn.function import detect
from kfn.function.errors import HandlerNotFound, HandlerUnusable, StartError
from kfn.function.kinds.base import Application
from kfn.function.kinds.hooks import Hooks
from kfn.function.kinds.plain import Plain
from kfn.function.kinds.signature import takes
from kfn.function.settings import Settings
from kfn.function.threads import Threads


def load(settings: Settings) -> Application:
    """The function, ready to be started."""
    source = os.path.realpath(settings.source)
    if not os.path.isdir(source):
        raise HandlerNotFound(f"The source folder {source} does not exist. Set KFN_SOURCE.")
    if source not in sys.path:
        sys.path.insert(0, source)
    handler = settings.handler or _look(source)
    try:
        target = resolve(handler, source)
        return application(target, handler, settings)
    except StartError:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        from kfn.function.faults import explain_failure

        raise explain_failure(error, source) from error


def _look(source: str) -> str:
    def read(path: str) -> str | None:
        file = os.path.join(source, path)
        if not os.path.isfile(file):
            return None
        with open(file, encoding="utf-8") as opened:
            return opened.read()

    try:
        found = detect.find(read)
    except SyntaxError as error:
        from kfn.function.faults import explain_failure

        error.filename = os.path.join(source, error.filename or "")
        raise explain_failure(error, source) from error
    if found is None:
        for candidate in detect.candidates():
            text = read(candidate.path)
            if text is not None:
                own = detect.defined(text, candidate.path).own
                raise HandlerNotFound(detect.explain(f"{candidate.module}:handle", os.path.join(source, candidate.path), own))
        names = ", ".join(detect.MODULES)
        raise HandlerNotFound(f"No handler found in {source}: none of {names} is there. Write func.py with `def handle(request)`.")
    return found


def resolve(handler: str, source: str) -> Any:
    """The object that `module:attribute` names; without an attribute, the module's best candidate."""
    name, _, attribute = handler.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(error.name + ".")):
            looked = " or ".join(detect.module_paths(name))
            raise HandlerNotFound(
                f"handler `{handler}`: there is no module `{name}` in {source} (looked for {looked}). "
                "Set KFN_HANDLER, or `handler:` under `kfn:` in func.yaml."
            ) from None
        raise
    if not attribute:
        attribute = _best(module)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise HandlerNotFound(detect.explain(handler, module.__file__ or name, _own(module)))
        target = getattr(target, part)
    return target


def _best(module: ModuleType) -> str:
    for name in detect.ATTRIBUTES:
        if hasattr(module, name):
            return name
    classes = [n for n in _own(module) if inspect.isclass(getattr(module, n)) and hasattr(getattr(module, n), "handle")]
    return classes[-1] if classes else "handle"


def _own(module: ModuleType) -> tuple[str, ...]:
    return tuple(n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__)


def _call(target: Any, handler: str) -> tuple[Any, str]:
    """What to call, and what it takes: an application as it is, any other object by its method `handle`."""
    method = None if inspect.isroutine(target) else getattr(target, "handle", None)
    if not callable(method):
        return target, takes(target, handler)
    if callable(target) and takes(target, handler) in ("asgi", "wsgi"):
        return target, takes(target, handler)
    return method, takes(method, handler)


def application(target: Any, handler: str, settings: Settings) -> Application:
    """Choose the kind by what the object is."""
    if not callable(target) and not hasattr(target, "handle"):
        raise HandlerUnusable(f"handler `{handler}` is {type(target).__name__}, which cannot be called and has no method `handle`.")
    if inspect.isclass(target) or (inspect.isroutine(target) and handler.rpartition(":")[2] == "new"):
        target = target()
    call, kind = _call(target, handler)
    own_hooks = call is not target
    # A model often belongs to the thread that loaded it (CUDA, SQLite), and one at a time is the fastest way through one device.
    one_thread = own_hooks and hasattr(target, "load")
    threads = Threads(settings.concurrency or (1 if one_thread else 32))
    hooks = Hooks(target if own_hooks else None, threads)
    if kind == "asgi" and (own_hooks or (inspect.isroutine(target) and target.__name__ == "handle")):
        from kfn.function.kinds.knative import Knative

        return Knative(call, hooks, settings.max_body)
    if kind == "asgi":
        from kfn.function.kinds.asgi import Asgi

        return Asgi(call)
    if kind == "wsgi":
        from kfn.function.kinds.wsgi import Wsgi

        return Wsgi(call, threads, settings.max_body)
    return Plain(call, kind, threads, settings.max_body, hooks)
