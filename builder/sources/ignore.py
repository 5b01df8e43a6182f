"""Which entries of a source folder stay out of the image: version control, built-in defaults, secrets, then what the author wrote. Pure.

`.gitignore`, `.funcignore` and `.kfnignore` are read with git's meaning (`sources/patterns.py`), the first and the last in every folder. A
`.gitignore` can only leave out; what the other two say wins over it and over the defaults, and their `!` brings back.
"""

from dataclasses import dataclass, replace
from enum import Enum

from builder.sources.patterns import Patterns, patterns

GIT, FUNC, KFN = ".gitignore", ".funcignore", ".kfnignore"
NEVER = frozenset((".git", ".hg", ".svn", ".jj", ".bzr"))  # an allow list such as `!*/` must not bring these back
DEFAULTS = (
    ".gitignore", ".gitattributes", ".gitmodules", ".kfnignore", ".funcignore", ".kfn", ".func", "kfn.lock", "func.yaml",
    ".venv", "venv", ".virtualenv", "__pycache__", "*.py[cod]", "node_modules", "*.egg-info", ".pytest_cache", ".mypy_cache", ".ruff_cache",
    ".tox", ".nox", ".coverage", ".hypothesis", ".ipynb_checkpoints", ".idea", ".vscode", "*.swp", "*~", ".DS_Store", "Thumbs.db", "*.log",
)  # fmt: skip
SECRETS = (
    ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "*.pem", "*.p12", "*.pfx", "*.kdbx", "*.jks", "id_rsa", "id_dsa",
    "id_ecdsa", "id_ed25519", ".ssh", ".aws", ".azure", ".gcloud", ".kube", "kubeconfig", ".docker", ".netrc", ".npmrc", ".pypirc",
    ".git-credentials", "service-account*.json", "service_account*.json",
)  # fmt: skip
_DEFAULTS, _SECRETS = patterns(DEFAULTS), patterns(SECRETS)


class Verdict(Enum):
    """Why an entry is in the image or not."""

    IN = "in"
    DEFAULT = "left out by kfn's defaults"
    SECRET = "left out because it looks like a secret"  # noqa: S105
    GIT = "left out by a .gitignore"
    OWN = "left out by .kfnignore or .funcignore"
    ASKED = "looks like a secret, and .kfnignore or .funcignore brings it back"


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in one folder. The deepest file's patterns come first."""

    own: tuple[Patterns, ...] = ()
    git: tuple[Patterns, ...] = ()

    def judge(self, path: str, name: str, folder: bool) -> Verdict:
        """`path` is relative to the source, without a slash at its end."""
        if name in NEVER:
            return Verdict.DEFAULT
        asked = _first(self.own, path, name, folder)
        if asked:
            return Verdict.OWN
        secret = _SECRETS.decide(path, name, folder)
        if asked is False:
            return Verdict.ASKED if secret else Verdict.IN
        if secret:
            return Verdict.SECRET
        if _DEFAULTS.decide(path, name, folder):
            return Verdict.DEFAULT
        return Verdict.GIT if _first(self.git, path, name, folder) else Verdict.IN

    def within(self, git: Patterns | None, func: Patterns | None, kfn: Patterns | None) -> "Rules":
        """The rules of a folder that has these files itself."""
        own = tuple(one for one in (kfn, func) if one)
        return replace(self, own=(*own, *self.own), git=(git, *self.git) if git else self.git)


def _first(some: tuple[Patterns, ...], path: str, name: str, folder: bool) -> bool | None:
    for one in some:
        if (said := one.decide(path, name, folder)) is not None:
            return said
    return None
