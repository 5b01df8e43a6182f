"""A lock: every package with its version and hashes, in pip's hashed-requirements form. Pure; `kfn.lock` is one with a header."""

import re
import tomllib
from dataclasses import dataclass

from builder.errors import DependencyError

HEADER = "# kfn.lock, written by `kfn build`. Keep it with the source; delete it to choose versions anew."
_FOR = "# for: every platform, Python "
_INPUTS = re.compile(r"^# inputs: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?")
_HASH = re.compile(r"\s*--hash[= ]([a-z0-9]+:[0-9a-fA-F]+)")
_LOCAL = re.compile(r"(?:[^\s:;@]*/)?([A-Za-z0-9][A-Za-z0-9._]*)-[^\s/]+\.whl(?=\s|$)")  # a wheel in the source
_HERE = re.compile(r"^[A-Za-z0-9._-]+ @ file://(/\S+)", re.MULTILINE)
_USER = re.compile(r"://[^/\s@]+@")
PROVIDED = "kfn"  # the runtime layer has it


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One line of a lock: `spec` is `name==1.0 ; marker`, `name @ url` or `./wheels/name-1.0-py3-none-any.whl`, without the hashes."""

    name: str
    spec: str
    hashes: tuple[str, ...]

    @property
    def local(self) -> str:
        """The path in the source, if it is a wheel there."""
        found = _LOCAL.match(self.spec)
        return found[0] if found else ""

    def __str__(self) -> str:
        return " \\\n    ".join([self.spec, *(f"--hash={h}" for h in self.hashes)])


def normal(name: str) -> str:
    """A distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(text: str, file: str) -> tuple[Pin, ...]:
    """The pins of a hashed requirements file, without `kfn` itself."""
    pins = []
    for line in logical_lines(text):
        if line.startswith("-"):
            # The option only: its value may hold a password.
            option = re.split(r"[ =]", line)[0]
            raise DependencyError(
                f"{file}: `{option}` cannot be in a lock: every package needs a version and hashes, the index comes from outside"
            )
        local = _LOCAL.match(line)
        found = None if local else _NAME.match(line)
        if found and _USER.search(line):
            raise DependencyError(
                f"{file}: the URL of {found[1]} holds a password, which would be in kfn.lock and in what builds tell; "
                "give it in a netrc file"
            )
        spec = _HASH.sub("", line).strip()
        hashes = tuple(sorted(set(_HASH.findall(line))))
        if not (found or local) or not hashes:
            raise DependencyError(f"{file}: `{spec[:80]}` has no hash")
        name = normal(local[1] if local else found[1] if found else "")
        if name != PROVIDED:
            pins.append(Pin(name, spec, hashes))
    return tuple(sorted(pins))


def logical_lines(text: str) -> list[str]:
    """Lines of a requirements file with continuations joined and comments gone."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def parse_pylock(text: str, file: str = "pylock.toml") -> tuple[Pin, ...]:
    """The pins of a PEP 751 lock. Only wheels count: source packages would have to be run to be built."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DependencyError(f"{file}: {error}") from None
    pins = []
    for package in content.get("packages", ()):
        name, version = package.get("name", ""), package.get("version", "")
        if normal(name) == PROVIDED:
            continue
        wheels = [wheel.get("hashes", {}).get("sha256", "") for wheel in package.get("wheels", ())]
        if not version or not any(wheels):
            raise DependencyError(f"{file}: {name or 'a package'} has no wheel with a sha256 hash; kfn installs wheels only")
        marker = f" ; {package['marker']}" if package.get("marker") else ""
        pins.append(Pin(normal(name), f"{name}=={version}{marker}", tuple(sorted(f"sha256:{h}" for h in wheels if h))))
    return tuple(sorted(pins))


def relative(requirements: str, root: str, file: str) -> str:
    """The same text with wheels of the source by their place in it. Raises DependencyError for one that lies elsewhere."""

    def place(found: re.Match[str]) -> str:
        if not found[1].startswith(f"{root}/") or ".." in found[1].split("/"):
            raise DependencyError(
                f"{file}: {found[1]} is outside the source, and the source must hold all it needs: copy that file into it"
            )
        return f"./{found[1].removeprefix(f'{root}/')}"

    text = _HERE.sub(place, requirements)
    for line in logical_lines(text):
        if line.startswith("../"):
            raise DependencyError(f"{file}: {line.split()[0]} is outside the source; copy that file into it")
    return text


def with_header(inputs: str, lowest: str, requirements: str) -> str:
    """The text of kfn.lock. `inputs` names what it was resolved from, `lowest` the first Python that it is for."""
    return f"{HEADER}\n{_FOR}{lowest} or later\n# inputs: {inputs}\n{requirements}"


def inputs_of(lock: str) -> str:
    found = _INPUTS.search(lock)
    return found[1] if found else ""


def universal(lock: str) -> bool:
    """Whether it is for every platform. The first ones were for the platform that made them."""
    return f"\n{_FOR}" in lock
