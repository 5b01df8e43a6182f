"""Where a login for a registry is looked for, in this order, and what was found: the first that has one is used.

1. KFN_REGISTRY_HOST, _USER, _PASSWORD. 2. Files given by flag or KFN_REGISTRY_AUTH (docker configuration, Kubernetes pull secrets).
3. `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`: its credential helpers, then its own entries. 4. Podman's auth.json.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuildError, UsageError
from builder.process import run
from builder.registry.dockerconfig import Config, Credentials, answer, helper, helper_key, login, read
from builder.registry.reference import ImageRef
from builder.registry.settings import RegistrySettings

LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """The login, or none, and for an error where it came from or where it was looked for."""

    credentials: Credentials | None
    told: str


class CredentialFinder:
    """Remembers what it found: a helper may take a second."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._configs: tuple[Config, ...] | None = None
        self._found: dict[str, Found] = {}

    async def find(self, ref: ImageRef) -> Found:
        if ref.name not in self._found:
            self._found[ref.name] = await self._find(ref)
        return self._found[ref.name]

    async def _find(self, ref: ImageRef) -> Found:
        for one in self._settings.logins:
            if one.host == ref.registry:
                return Found(Credentials(one.user, one.password, one.source), f"the login was from {one.source}")
        if self._configs is None:
            self._configs = self._read()
        looked: list[str] = []
        for config in self._configs:
            found, said = await self._ask(config, ref)
            found = found or login(config, ref.registry, ref.repository)
            if found:
                return Found(found, f"the login was from {found.source}")
            looked.append(f"{config.source}{f' ({said})' if said else ''}")
        return Found(None, f"no login was found in {', '.join(looked)}" if looked else "there is no login: no configuration file was found")

    async def _ask(self, config: Config, ref: ImageRef) -> tuple[Credentials | None, str]:
        """A credential helper's answer, or why it gave none."""
        name = helper(config, ref.registry)
        if not name:
            return None, ""
        program = f"docker-credential-{name}"
        path = shutil.which(program, path=self._settings.environ.get("PATH"))
        if not path:
            return None, f"its helper {program} is not in PATH"
        try:
            ended = await run(
                [path, "get"],
                timeout=self._settings.helper_timeout,
                stdin=helper_key(ref.registry).encode(),
                env=self._settings.environ,
            )
        except (BuildError, OSError) as error:
            return None, str(error)
        if ended.code:
            words = (ended.stdout or ended.stderr).decode(errors="replace").strip().splitlines()
            return None, f"{program}: {words[0][:200] if words else f'ended with {ended.code}'}"
        found = answer(ended.stdout[:LARGEST], f"{program} ({config.source})")
        return found, "" if found else f"{program} printed no login"

    def _read(self) -> tuple[Config, ...]:
        found = [read(data, name) for name, data in self._settings.pull_secrets]
        found += [read(_bytes(path), str(path)) for path in self._settings.auth_files]
        found += [read(_bytes(path), str(path)) for path in self._places() if path.is_file()]
        return tuple(found)

    def _places(self) -> tuple[Path, ...]:
        env = self._settings.environ
        home = Path(env.get("HOME") or Path.home())
        docker = Path(env.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
        if env.get("REGISTRY_AUTH_FILE"):
            return docker, Path(env["REGISTRY_AUTH_FILE"])
        runtime = (Path(env["XDG_RUNTIME_DIR"]) / "containers" / "auth.json",) if env.get("XDG_RUNTIME_DIR") else ()
        return (docker, *runtime, Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json")


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}, which holds logins for registries, cannot be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST} bytes; it is no file of logins")
    return data
