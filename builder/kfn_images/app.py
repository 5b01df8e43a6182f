"""kfn's own images by kfn's own builder: the same path as a function's, with another language. Read this first.

recipes.py (what they are made of) -> program.py (layers) -> builder/app.py (base, image, SBOM, where it goes)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from builder.app import build
from builder.errors import UsageError
from builder.kfn_images.program import ROOT, KfnProgram, read
from builder.kfn_images.recipes import RECIPES
from builder.language import Given
from builder.layout import parse
from builder.options import BuildOptions, BuildResult, Step
from builder.project import Project
from kfn.version import VERSION

NOWHERE = "kfn.local"  # in place of a registry in the names of images that are in none


@dataclass(frozen=True, slots=True)
class Asked:
    """`registry` is HOST[/PATH], under which each image has its name; `output` KIND:PATH, a folder for all of them. Either may be empty."""

    names: tuple[str, ...] = tuple(RECIPES)
    registry: str = ""
    output: str = ""
    tag: str = VERSION


async def images(asked: Asked, options: BuildOptions, progress: Callable[[str, Step], None]) -> dict[str, BuildResult]:
    """Build these, one after the other, for they share layers. By name. Raises what `builder.app.build` raises."""
    if unknown := [name for name in asked.names if name not in RECIPES]:
        raise UsageError(f"there is no image {unknown[0]!r} of kfn's own; there are {', '.join(RECIPES)}")
    made = {}
    for name in asked.names:
        recipe = RECIPES[name]
        given = Given(Project(ROOT, name, namespace="kfn"), partial(read, recipe), partial(KfnProgram, recipe))
        made[name] = await build(given, _options(name, asked, options), partial(progress, name))
    return made


def _options(name: str, asked: Asked, options: BuildOptions) -> BuildOptions:
    """Without a registry and an output it is a dry run: made into the cache, with the digest that it would have."""
    tag = f"{asked.registry.rstrip('/') or NOWHERE}/{name}:{asked.tag}"
    outputs = (_output(name, asked.output),) if asked.output else ()
    nowhere = not asked.registry and not outputs
    push = bool(asked.registry) or nowhere
    return replace(
        options,
        store=None,
        name=name,
        namespace="kfn",
        tags=(tag,),
        push=push,
        outputs=outputs,
        dry_run=nowhere or options.dry_run,
        profile=False,
    )


def _output(name: str, text: str) -> str:
    """In the folder that was named: an OCI layout holds all of them, an archive is a file for each."""
    wanted = parse(text)
    return text if wanted.kind == "oci" else f"{wanted.kind}:{wanted.path / name}.tar"


__all__ = ["Asked", "images"]
