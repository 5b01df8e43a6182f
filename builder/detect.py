"""Which runtime a folder needs, from the names in it. What kfn cannot build is refused with what it can.

Opens only files that could be programs.
"""

from pathlib import Path

from builder import elf
from builder.errors import NotAProject, ProjectInvalid
from kfn.function import detect

RUNTIMES = ("python", "node", "go", "binary")
DOCKERFILE = "dockerfile"  # the builder for everything else; only when it is asked for
BUILDERS = ("", "kfn", DOCKERFILE)
CONTAINER_FILES = ("Dockerfile", "Containerfile")
PYTHON = ("pyproject.toml", "requirements.txt", "pylock.toml", "uv.lock", *detect.MODULES)
OTHERS = {
    "Cargo.toml": "Rust",
    "pom.xml": "Java",
    "build.gradle": "Java",
    "build.gradle.kts": "Kotlin",
    "composer.json": "PHP",
    "Gemfile": "Ruby",
}
FOREIGN = {  # the other runtimes of Knative's func, and what makes kfn run them
    "typescript": "compile it to JavaScript and say runtime: node",
    "rust": "compile a static binary and say runtime: binary",
    "quarkus": "",
    "springboot": "",
}
BRING = (
    "For anything else bring an image: build it from a Dockerfile (`kfn build --builder dockerfile`), or build it yourself and run "
    "`kfn deploy --image IMAGE --name NAME`"
)
SUPPORTED = (
    f"kfn builds Python (a folder with {', '.join(PYTHON)}), Node (package.json), Go (go.mod) and a ready program for Linux "
    f"(runtime: binary, or `kfn build --binary FILE`). {BRING}"
)
MOST = 200  # files looked at to find one program


def runtime(folder: Path) -> str:
    """The runtime of a folder that does not name one. Raises NotAProject."""
    if any((folder / name).is_file() for name in PYTHON):
        return "python"
    marks = {"node": "package.json", "go": "go.mod"}
    found = [name for name, mark in marks.items() if (folder / mark).is_file()]
    if len(found) > 1:
        raise NotAProject(
            f"{folder.name or folder} has {' and '.join(marks[name] for name in found)}; say in func.yaml which counts: runtime: {found[0]}"
        )
    if found:
        return found[0]
    for name, language in OTHERS.items():
        if (folder / name).is_file():
            raise NotAProject(f"{folder.name or folder} has {name}, which is {language}. {SUPPORTED}")
    if len(programs(folder)) == 1:
        return "binary"
    for name in CONTAINER_FILES:
        if (folder / name).is_file():
            raise NotAProject(
                f"{folder.name or folder} has a {name}, which runs foreign code and is used only when asked for: add --builder dockerfile"
            )
    there = sorted(entry.name for entry in folder.iterdir())[:10]
    raise NotAProject(f"{folder.name or folder} holds {', '.join(there) or 'nothing'}. {SUPPORTED}")


def programs(folder: Path) -> tuple[str, ...]:
    """The names of the ELF programs in a folder itself."""
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.is_symlink() and not entry.name.startswith("."))
    return tuple(file.name for file in files[:MOST] if elf.is_program(file))


def check_runtime(name: str, where: str) -> str:
    """A runtime that func.yaml names. `where` is its place there. Raises NotAProject."""
    if name in FOREIGN:
        advice = f" ({FOREIGN[name]})" if FOREIGN[name] else ""
        raise NotAProject(f"{where}: {name} is not built by kfn{advice}. {SUPPORTED}")
    if name not in RUNTIMES:
        raise NotAProject(f"{where}: {name!r} is not known; use {', '.join(RUNTIMES)}. {SUPPORTED}")
    return name


def check_builder(name: str, where: str) -> str:
    if name not in BUILDERS:
        raise ProjectInvalid(f"{where}: {name!r} is not a builder; leave it out, or use {DOCKERFILE}")
    return "" if name == "kfn" else name
