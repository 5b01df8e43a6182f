"""What a Go module's files say before the toolchain is asked: its path, whether it is locked, and what is to be compiled.

Pure: it is given texts. It reads as much Go as it takes to tell a program from a function in the form of Knative's `func`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from builder.errors import HandlerNotFound, LockMissing, ProjectInvalid

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)
_REQUIRE = re.compile(r"^require\s+(\(\s*[^\s)]|[^\s(])", re.MULTILINE)
_LOCAL = re.compile(r"=>\s*\.\.?/")
_PACKAGE = re.compile(r"^package\s+(\w+)", re.MULTILINE)
_IGNORED = re.compile(r"^//go:build\s+ignore\b", re.MULTILINE)
_FUNC = re.compile(r"^func\s+(\(\s*\w*\s*\*?\s*\w+\s*\)\s*)?(Handle|New)\s*\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Function:
    """A package that is no program: what stands around it in a generated one. `instanced`: by New(), whose result has Handle."""

    package: str
    module: str
    instanced: bool
    context: bool  # Handle takes a context.Context first, as func's older templates have it


def module_path(text: str) -> str:
    """The module's path in go.mod. Raises ProjectInvalid."""
    found = _MODULE.search(_COMMENT.sub("", text))
    if not found:
        raise ProjectInvalid("go.mod has no line `module PATH`; make it with `go mod init PATH`")
    return found[1].strip('"`')


def check_locked(text: str, has_sum: bool, vendored: bool) -> None:
    """Modules that are required must have their sums; of those that are replaced by folders go itself knows. Raises LockMissing."""
    plain = _COMMENT.sub("", text)
    if _REQUIRE.search(plain) and not _LOCAL.search(plain) and not has_sum and not vendored:
        raise LockMissing("go.mod requires modules and there is no go.sum; make it with `go mod tidy` and commit it")


def root_package(files: Mapping[str, str]) -> str:
    """The package of the Go files in a folder, empty if there are none. Tests and what is ignored do not count."""
    names = {found[1] for text in files.values() if not _IGNORED.search(text) and (found := _PACKAGE.search(_COMMENT.sub("", text)))}
    return "main" if "main" in names else min(names, default="")


def function(files: Mapping[str, str], module: str) -> Function:
    """The function in a package that is not `main`. Raises HandlerNotFound with the forms that there are."""
    package = root_package(files)
    forms = (
        f"package {package} is not main, so it needs `func Handle(w http.ResponseWriter, r *http.Request)`, or `func New() *T` with "
        "that method on T; or name a main package in kfn.handler, for example ./cmd/hello"
    )
    found: dict[tuple[str, bool], str] = {}
    for text in files.values():
        for receiver, name, parameters in _FUNC.findall(_COMMENT.sub("", text)):
            found.setdefault((name, bool(receiver)), " ".join(parameters.split()))
    instanced = ("New", False) in found and ("Handle", True) in found
    handle = found.get(("Handle", instanced))
    if handle is None:
        raise HandlerNotFound(f"no handler in the Go files of this folder. The {forms}")
    if "ResponseWriter" not in handle or "Request" not in handle:
        raise HandlerNotFound(
            f"Handle({handle}) does not take an HTTP request; kfn runs HTTP functions and does not know a CloudEvents SDK. The {forms}"
        )
    return Function(package, module, instanced, "context.Context" in handle)
