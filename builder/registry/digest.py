"""What an image's tag means now, asked with the logins that a pod would pull it with: the controller's port `kfn.digests.Resolve`."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from builder.errors import BuildError, ImageMissing, RegistryRefused, RegistryUntrusted, UsageError
from builder.registry.client import Registries
from builder.registry.reference import parse_ref
from builder.registry.settings import RegistrySettings
from kfn.digests import Unresolved

# No home and no programs: whose image it is says who may see it, not who runs the controller; and a Secret must not name a program to run.
_NOBODY = {"HOME": "/nonexistent", "PATH": ""}


class Digests:
    """`resolve` is the port. Of `settings` come certificates, plain-HTTP hosts and the operator's own logins."""

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        given = settings or RegistrySettings.from_environment()
        self._settings = replace(given, environ=_NOBODY, connect_timeout=5.0, read_timeout=10.0, retries=1, longest_pause=2.0)

    async def resolve(self, image: str, docker_configs: Sequence[dict[str, Any]]) -> str:
        """HEAD, or GET where a registry tells no digest. Of an index it is the index's: each node takes what fits it."""
        secrets = tuple((f"pull secret {n}", _logins(config)) for n, config in enumerate(docker_configs, start=1))
        try:
            ref = parse_ref(image)
            async with Registries(replace(self._settings, pull_secrets=secrets)) as registries:
                return (await registries.resolve(ref)).digest
        except BuildError as error:
            lasting = isinstance(error, ImageMissing | RegistryRefused | RegistryUntrusted | UsageError)
            raise Unresolved(_words(error), lasting=lasting) from error


def _words(error: BuildError) -> str:
    """How a pod logs in is another thing than how one does on the command line."""
    if isinstance(error, RegistryRefused):
        said = error.detail.partition(". Log in with ")[0].partition(". This login lacks")[0]
        said = said.replace("there is no login: no configuration file was found", "no pull secret was given")
        return f"{said}. Name one that may in imagePullSecrets of the Service or of its ServiceAccount"
    return error.detail or str(error)


def _logins(config: dict[str, Any]) -> bytes:
    """Only the logins of a docker configuration, new or old form: the names of helpers in it are programs on somebody's own machine."""
    return json.dumps({"auths": config.get("auths", {}) if "auths" in config else config}).encode()
