"""What a source that is somebody else's may not decide for itself: to run code on this machine, to read its environment or its files.

A git URL is such a source, and so is the repository of a Build in a cluster; a folder is its owner's. What a flag allows is allowed.
"""

import os
import re
from pathlib import Path

from builder.errors import ForeignSource
from builder.options import BuildOptions
from builder.project import Project

_VARIABLE = re.compile(r"\$\{(?!PROJECT_ROOT\})\w+\}")  # as uv replaces them; that one is uv's own
_NPM = re.compile(r"\s*([#;].*)?|(@[\w.-]+:)?registry\s*=[^$]*")  # other settings of npm can name programs or read variables
_MOST = 64 << 10  # bytes of .npmrc
_ELSE = "If you trust it, fetch it and build the folder"


def check(project: Project, options: BuildOptions) -> None:
    """Raises ForeignSource. `options` are what this build was asked for, `project` is what the source says."""
    if project.allow_sdists and not options.allow_sdists:
        raise ForeignSource("func.yaml has kfn.allowSdists; if you trust the packages that it names, build with --allow-sdists")
    if project.allow_scripts:
        raise ForeignSource(f"func.yaml has kfn.allowScripts, which runs install scripts on this machine. {_ELSE}")
    if project.builder and not options.builder:
        raise ForeignSource(
            f"func.yaml has kfn.builder, which runs the steps of its Dockerfile; if you trust it, --builder {project.builder}"
        )
    if project.build_envs:
        names = ", ".join(name for name, _ in project.build_envs[:5])
        raise ForeignSource(f"func.yaml has build.buildEnvs ({names}), which can name programs for the build to run. {_ELSE}")
    if options.leaves and not options.base and set(project.base) & set("/:@"):
        raise ForeignSource(
            f"func.yaml has kfn.base {project.base}, whose interpreter would run here; if you trust it, --base {project.base}"
        )
    if options.push and not options.tags and (where := project.image or project.registry):
        raise ForeignSource(
            f"func.yaml names {where[:100]} as where to push, with your login, over what is there; if that is meant, give it with -t"
        )
    _check_files(project.path)


def expands(text: str) -> bool:
    """Whether uv would put variables of this machine's environment into this, and so into what it sends. Pure."""
    return _VARIABLE.search(text) is not None


def refuse_variables(file: str) -> ForeignSource:
    return ForeignSource(f"{file} has a ${{VARIABLE}}, which would send a variable of this machine's environment elsewhere. {_ELSE}")


def _check_files(root: Path) -> None:
    """Files that a build reads whatever the ignore rules say of them."""
    top = os.path.realpath(root)
    for path in sorted(root.iterdir()):
        if path.is_symlink() and os.path.commonpath([top, os.path.realpath(path)]) != top:
            raise ForeignSource(f"{path.name} is a link to {os.readlink(path)[:100]!r}, outside of it")
    settings = root / ".npmrc"
    if settings.is_file():
        with settings.open("rb") as file:
            text = file.read(_MOST + 1)
        strange = next((line for line in text.decode("utf-8", "replace").splitlines() if not _NPM.fullmatch(line)), "")
        if strange or len(text) > _MOST:
            raise ForeignSource(f".npmrc says more than where packages are ({strange.partition('=')[0].strip()[:40]!r}). {_ELSE}")
