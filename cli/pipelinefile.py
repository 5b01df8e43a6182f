"""Pipelines as files: read, checked as the platform would, and every mistake told with file, line and field."""

import re
import sys
from pathlib import Path
from typing import Any

from cli.failures import CliError
from kfn.api.base import Json

_PART = re.compile(r"[^.\[\]]+")
_TRUE = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
LARGEST = 4 * 1024 * 1024  # bytes


def read(file: str, namespace: str) -> list[Json]:
    """The Pipelines of a file (`-` is standard input), with namespace and defaults. Raises CliError that lists what is wrong."""
    import yaml

    text = _text(file)
    try:
        read = zip(yaml.load_all(text, Loader=_loader()), yaml.compose_all(text, Loader=_loader()), strict=True)
        documents = [(document, node) for document, node in read if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CliError(f"{file} is not YAML: {error}", 2) from error
    if not documents:
        raise CliError(f"{file} has no Pipeline in it", 2)
    return [_checked(file, document, node, namespace) for document, node in documents]


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else Path(file).read_bytes()
        if len(data) > LARGEST:
            raise CliError(f"{file} is larger than {LARGEST // 1024 // 1024} MiB", 2)
        return data.decode()
    except OSError as error:
        raise CliError(f"{file}: {error.strerror}", 2) from error
    except UnicodeDecodeError as error:
        raise CliError(f"{file} is not text: {error}", 2) from error


def _loader() -> Any:
    """As YAML 1.2 reads: `on` is a word. YAML 1.1, which kubectl reads, takes it for true."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    boolean = "tag:yaml.org,2002:bool"
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != boolean]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(boolean, _TRUE, list("tTfF"))
    return Loader


def _checked(file: str, document: Any, node: Any, namespace: str) -> Json:
    from kfn.api import kinds
    from kfn.api.admission import admit
    from kfn.api.errors import FieldError, Invalid

    kind = kinds.PIPELINE
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (kind.api_version, kind.kind):
        raise CliError(f"{_at(file, node, '')}: not a Pipeline; write apiVersion: {kind.api_version} and kind: {kind.kind}", 2)
    meta = document.setdefault("metadata", {})
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise CliError(f"{_at(file, node, 'metadata')}: metadata.name: missing; give the Pipeline a name", 2)
    meta.setdefault("namespace", namespace)
    try:
        return admit(kind, "CREATE", document, None, "kfn")
    except Invalid as invalid:
        errors: list[FieldError] = invalid.errors
        told = "\n".join(f"  {_at(file, node, error.path)}: {error}" for error in errors)
        raise CliError(f"pipeline {meta['name']!r} has {len(errors)} mistake{'s' if len(errors) > 1 else ''}:\n{told}", 2) from None


def _at(file: str, node: Any, path: str) -> str:
    """FILE:LINE of the deepest part of a field's path that is written there."""
    line = node.start_mark.line
    for part in _PART.findall(path):
        value = getattr(node, "value", None)
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value) and not isinstance(value[int(part)], tuple):
            node = value[int(part)]
            line = node.start_mark.line
            continue
        found = (
            next((pair for pair in value if isinstance(pair, tuple) and pair[0].value == part), None) if isinstance(value, list) else None
        )
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return f"{file}:{line + 1}"
