"""Which paths of a source folder stay out of the image: built-in defaults, secrets, then the author's own rules. Pure.

Rules have git's meaning, a later one wins, and `!` brings a path back. Secrets are told apart, so that the build can name them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

DEFAULTS = (
    ".git", ".hg", ".svn", ".jj", ".gitignore", ".gitattributes", ".kfnignore", ".funcignore", ".kfn", ".func", "kfn.lock", "func.yaml",
    ".venv", "venv", ".virtualenv", "__pycache__", "*.py[cod]", "node_modules", "*.egg-info", ".pytest_cache", ".mypy_cache", ".ruff_cache",
    ".tox", ".nox", ".coverage", ".ipynb_checkpoints", ".idea", ".vscode", "*.swp", "*~", ".DS_Store", "Thumbs.db", "*.log",
)  # fmt: skip
SECRETS = (
    ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "*.pem", "*.p12", "*.pfx", "*.kdbx", "id_rsa", "id_dsa",
    "id_ecdsa", "id_ed25519", ".ssh", ".aws", ".azure", ".gcloud", ".kube", "kubeconfig", ".docker", ".netrc", ".npmrc", ".pypirc",
    ".git-credentials", "service-account*.json", "service_account*.json",
)  # fmt: skip
FILES = (".funcignore", ".kfnignore")  # read in this order


@dataclass(frozen=True, slots=True)
class Rules:
    """`everything` decides; `secrets` only tells why."""

    everything: GitIgnoreSpec
    secrets: GitIgnoreSpec

    def ignored(self, path: str) -> bool:
        """`path` is relative with `/` between its parts; a folder's ends in one."""
        return self.everything.match_file(path)

    def secret(self, path: str) -> bool:
        return self.secrets.match_file(path)


def rules(own: Iterable[str] = ()) -> Rules:
    return Rules(GitIgnoreSpec.from_lines([*DEFAULTS, *SECRETS, *own]), GitIgnoreSpec.from_lines(SECRETS))
