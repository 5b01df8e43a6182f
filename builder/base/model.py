"""What an image stands on, as a value. Who makes one: `builder/base/app.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.components import Component
from builder.oci import Layer
from builder.platform import Platform
from builder.python.interpreter import Interpreter

NONE = "none"  # no base: for the embedded platform, whose node brings the interpreter
SCRATCH = "scratch"  # nothing either: what the language makes is the whole image


@dataclass(frozen=True, slots=True)
class Base:
    """`name` is what was asked for. `reference` is the image with its digest, empty if there is none to name.

    `config` is the OCI image config's section `config` (Env, User, ...), which the function's own is laid over.
    """

    name: str
    platform: Platform
    reference: str = ""
    digest: str = ""  # of the base's manifest for this platform
    layers: tuple[Layer, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    python: Interpreter | None = None  # the one in the image; None: it has none
    libc: str = ""  # glibc 2.36, musl; empty: unknown or none
    components: tuple[Component, ...] = ()  # the operating system's packages
    cached: bool = True
    warnings: tuple[str, ...] = ()
