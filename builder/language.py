"""The seam between a build and a language: what a language is asked, and what it makes. Its implementations are in `languages/`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from builder.base.model import Base
from builder.cache import Cache
from builder.components import Component
from builder.options import BuildOptions, BuiltLayer, Progress
from builder.profile.run import Start
from builder.project import Project
from builder.sources.origin import UNKNOWN, Origin
from builder.sources.source import Source


@dataclass(frozen=True, slots=True)
class Job:
    """One build, for all its platforms."""

    project: Project
    source: Source
    options: BuildOptions
    cache: Cache
    tell: Progress
    origin: Origin = UNKNOWN
    fetched: bool = False  # the source came from elsewhere for this build


@dataclass(frozen=True, slots=True)
class Parts:
    """What a language puts on the base for one platform."""

    layers: tuple[BuiltLayer, ...]  # bottom first, uncompressed, in the cache
    entrypoint: tuple[str, ...]
    handler: str = ""
    folder: str = "/func"  # where the process starts
    env: tuple[str, ...] = ()  # NAME=value
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    components: tuple[Component, ...] = ()
    warnings: tuple[str, ...] = ()
    start: Start | None = None  # for the import profile; None: there is none of this language
    config: Mapping[str, Any] | None = None  # a whole image's own section `config`, in place of the base's; `Cmd` and `User` are kept


@dataclass(frozen=True, slots=True)
class Given:
    """What is built where it is no function: `read` finds its files, `language` makes layers of them."""

    project: Project
    read: Callable[[], Source]
    language: "Callable[[Job], Language]"


class Language(Protocol):
    """One build in one language. The same object is asked for each platform, so it may keep what they share."""

    def base(self) -> str:
        """The base to stand on when nobody names one."""

    async def check(self) -> None:
        """Say what is wrong with the source, before anything is downloaded. Raises SourceError."""

    async def parts(self, base: Base) -> Parts:
        """Everything that goes above the base, for `base.platform`."""
