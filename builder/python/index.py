"""Where packages come from: the environment and the machine's own settings, never a file of the project that kfn writes.

uv reads its own variables and files. Where only pip was told about an index, this hands pip's settings on under uv's names.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_UV = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")
_NOT_OURS = (  # what would change what is installed and how, or for whom
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_PYTHON_PLATFORM", "UV_SYSTEM_PYTHON", "UV_LINK_MODE",
    "UV_COMPILE_BYTECODE", "UV_NO_BINARY", "UV_NO_BINARY_PACKAGE", "UV_NO_BUILD", "UV_NO_BUILD_ISOLATION", "UV_REQUIRE_HASHES",
    "UV_NO_VERIFY_HASHES", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_WORKING_DIR", "UV_LOCKED", "UV_FROZEN", "UV_NO_SYNC",
    "UV_CUSTOM_COMPILE_COMMAND",
)  # fmt: skip
_PIP_TO_UV = {  # pip's option: uv's variable, and what stands between its values
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


def uv_settings(environ: Mapping[str, str], pip: Mapping[str, str], uv_has_a_file: bool) -> dict[str, str]:
    """Variables to add for uv. `pip` has pip's options by their long names. Nothing that uv was told is overridden. Pure."""
    told = uv_has_a_file or any(environ.get(name) for name in _UV)
    added = {}
    for option, (variable, between) in _PIP_TO_UV.items():
        value = environ.get("PIP_" + option.upper().replace("-", "_")) or pip.get(option, "")
        if value and not environ.get(variable) and not (told and variable in _UV):
            added[variable] = between.join(value.split())
    return added


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The whole environment for uv: this process's, pip's settings under uv's names, `extra`."""
    env = {key: value for key, value in os.environ.items() if key not in _NOT_OURS}
    home = Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    uv_file = any(path.is_file() for path in (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml")))
    return env | uv_settings(env, _pip_options(env, home), uv_file) | dict(extra) | {"UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def _pip_options(env: Mapping[str, str], home: Path) -> dict[str, str]:
    """pip's configuration files, the later ones winning, as pip reads them."""
    files = [Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf"), Path.home() / ".pip" / "pip.conf", home / "pip" / "pip.conf"]
    files += [Path(sys.prefix) / "pip.conf", *([Path(env["PIP_CONFIG_FILE"])] if env.get("PIP_CONFIG_FILE") else [])]
    options: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, "utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip itself will complain
        for section in ("global", "install"):
            if parser.has_section(section):
                options |= dict(parser.items(section))
    return options
