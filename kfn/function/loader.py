"""Import the handler and choose its kind. Whatever goes wrong becomes a StartError that names file, line and remedy."""

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from kfn.function import detect
from kfn.function.errors import HandlerNotFound, HandlerUnusable, StartError
from kfn.function.faults import explain_failure
from kfn.function.kinds.base import Application
from kfn.function.kinds.hooks import Hooks
from kfn.function.kinds.plain import Plain
from kfn.function.kinds.signature import takes
from kfn.function.settings import Settings
from kfn.function.threads import Threads


def load(settings: Settings) -> Application:
    """The function, ready to be started."""
    source = Path(settings.source).resolve()
    if not source.is_dir():
        raise HandlerNotFound(f"The source folder {source} does not exist. Set KFN_SOURCE.")
    if str(source) not in sys.path:
        sys.path.insert(0, str(source))
    handler = settings.handler or _look(source)
    try:
        target = resolve(handler, source)
        return application(target, handler, settings)
    except StartError:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        raise explain_failure(error, source) from error


def _look(source: Path) -> str:
    def read(path: str) -> str | None:
        file = source / path
        return file.read_text(encoding="utf-8") if file.is_file() else None

    try:
        found = detect.find(read)
    except SyntaxError as error:
        if error.filename and not Path(error.filename).is_absolute():
            error.filename = str(source / error.filename)
        raise explain_failure(error, source) from error
    if found is None:
        seen = [c.path for c in detect.candidates() if (source / c.path).is_file()]
        if seen:
            own = detect.defined((source / seen[0]).read_text(encoding="utf-8"), seen[0]).own
            raise HandlerNotFound(detect.explain(f"{detect.module_name(seen[0])}:handle", str(source / seen[0]), own))
        names = ", ".join(detect.MODULES)
        raise HandlerNotFound(f"No handler found in {source}: none of {names} is there. Write func.py with `def handle(request)`.")
    return found


def resolve(handler: str, source: Path) -> Any:
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


def application(target: Any, handler: str, settings: Settings) -> Application:
    """Choose the kind by what the object is."""
    if not callable(target) and not hasattr(target, "handle"):
        raise HandlerUnusable(f"handler `{handler}` is {type(target).__name__}, which cannot be called and has no method `handle`.")
    if inspect.isclass(target) or (inspect.isroutine(target) and handler.rpartition(":")[2] == "new"):
        target = target()
    method = target if inspect.isroutine(target) else getattr(target, "handle", None)
    call = method if callable(method) else target
    kind = takes(call, handler)
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
