"""Pure: the patch dialects that work on any JSON: merge patch (RFC 7386) and JSON patch (RFC 6902)."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from embedded.api.status import StatusError, bad_request

_OPERATIONS = 10_000  # in one JSON patch, as in Kubernetes
_COPIED = 100_000  # values that all copies of one JSON patch may make: each could double the object
_INDEX = re.compile(r"[0-9]{1,9}")


def merge(target: Any, patch: Any) -> Any:
    """A new value: objects are merged, null deletes, anything else replaces. Neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """Apply a list of operations, all or none. Raises 400 for a malformed one, 422 for one that does not fit the object."""
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    if len(operations) > _OPERATIONS:
        raise StatusError(413, "RequestEntityTooLarge", f"a JSON patch may have {_OPERATIONS} operations, this one has {len(operations)}")
    document = msgspec.to_builtins(target)
    copied = 0
    for operation in operations:
        if isinstance(operation, dict) and operation.get("op") == "copy":
            copied += sum(1 for _ in _values(_get(document, _pointer(str(operation.get("from", ""))))))
            if copied > _COPIED:
                raise StatusError(413, "RequestEntityTooLarge", f"the copies of this JSON patch make more than {_COPIED} values")
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise bad_request("a JSON patch operation is an object with op and path")
    op, path = operation.get("op"), _pointer(operation["path"])
    if op in ("add", "replace", "test") and "value" not in operation:
        raise bad_request(f"JSON patch operation {op} {operation['path']} needs a value")
    if op == "test":
        if _get(document, path) != operation["value"]:
            raise _misfit(f"testing value {operation['path']} failed")
        return document
    if op in ("move", "copy"):
        source = _pointer(str(operation.get("from", "")))
        value = msgspec.to_builtins(_get(document, source))
        if op == "move":
            document = _remove(document, source)
        return _add(document, path, value)
    if op == "remove":
        return _remove(document, path)
    if op == "replace":
        _get(document, path)
        return _add(document, path, operation["value"], replace=True)
    if op == "add":
        return _add(document, path, operation["value"])
    raise bad_request(f"unknown JSON patch operation: {op!r}")


def _values(value: Any) -> Iterator[Any]:
    """The value and everything inside it; text counts once for every kilobyte."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            yield from range(len(value) >> 10)


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise bad_request(f"a JSON pointer starts with a slash: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _misfit(message: str) -> StatusError:
    return StatusError(422, "Invalid", f"the server rejected our request due to an error in our request: {message}")


def _index(container: list[Any], part: str, *, end: bool = False) -> int:
    if end and part == "-":
        return len(container)
    if not _INDEX.fullmatch(part) or int(part) > len(container) - (0 if end else 1):
        raise _misfit(f"JSON patch: no list index {part!r}")
    return int(part)


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise _misfit(f"JSON patch: no value at {part!r}")
    return document


def _add(document: Any, path: list[str], value: Any, *, replace: bool = False) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        if replace:
            parent[_index(parent, last)] = value
        else:
            parent.insert(_index(parent, last, end=True), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise _misfit(f"JSON patch: {last!r} is inside neither an object nor a list")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise _misfit("JSON patch: the whole object cannot be removed")
    parent, last = _get(document, path[:-1]), path[-1]
    _get(parent, [last])
    if isinstance(parent, list):
        del parent[_index(parent, last)]
    else:
        del parent[last]
    return document
