"""What a registry's answers mean, in words: its error codes, and which of our errors each becomes. Pure."""

import http
import json
import re
from dataclasses import dataclass

from builder.errors import BuildError, ImageMissing, RegistryError, RegistryRefused
from builder.registry.reference import ImageRef

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MOST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with a bounded body. Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    @property
    def errors(self) -> tuple[tuple[str, str, str], ...]:
        """The codes of the OCI error body, with message and detail."""
        try:
            found = json.loads(self.body)["errors"]
            return tuple((str(one.get("code", "")), str(one.get("message", "")), json.dumps(one.get("detail"))) for one in found[:10])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ()

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(code for code, _, _ in self.errors)

    @property
    def blobs(self) -> tuple[str, ...]:
        """The digests that a MANIFEST_BLOB_UNKNOWN names."""
        found = (text for code, *texts in self.errors if code in ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN") for text in texts)
        return tuple(dict.fromkeys(digest for text in found for digest in _DIGEST.findall(text)))

    @property
    def words(self) -> str:
        """`404 Not Found: NAME_UNKNOWN repository name not known to registry`."""
        said = "; ".join(f"{code} {message}".strip() for code, message, _ in self.errors)
        if not said and self.body and "html" not in self.header("content-type"):
            said = self.body[:MOST_WORDS].decode(errors="replace").strip()
        return status(self.status) + (f": {shown(said)}" if said else "")


def status(code: int) -> str:
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def shown(text: str) -> str:
    """Words from outside, fit for a terminal."""
    clean = _CONTROL.sub(" ", text)
    return clean if len(clean) <= MOST_WORDS else clean[:MOST_WORDS] + "..."


def refused(ref: ImageRef, doing: str, answer: Answer, told: str) -> RegistryRefused:
    """A 401 or 403. `told` says which login was used or where one was looked for."""
    detail = f"{ref.registry} does not let this user {doing} {ref.repository} ({answer.words}); {told}"
    if answer.status == 401:
        return RegistryRefused(
            f"{detail}. Log in with `docker login {ref.registry}` (or podman, skopeo), or set KFN_REGISTRY_HOST, _USER, _PASSWORD"
        )
    return RegistryRefused(
        f"{detail}. This login lacks the right: ask for it, choose another repository, or `docker login {ref.registry}` anew"
    )


def unexpected(ref: ImageRef, doing: str, answer: Answer) -> BuildError:
    """Any other answer that ends what was being done."""
    if answer.status == 404 and doing.startswith("push"):
        return RegistryError(
            f"{ref.registry} cannot {doing} {ref.repository} ({answer.words}). "
            f"Some registries want a repository to be made first (on AWS: `aws ecr create-repository --repository-name {ref.repository}`)"
        )
    if answer.status == 404:
        return ImageMissing(f"{ref} ({answer.words}); check name, tag and spelling")
    hint = "; a proxy before it limits what may be sent (nginx: client_max_body_size 0)" if answer.status == 413 else ""
    return RegistryError(f"{ref.registry} answered {answer.words} to: {doing} {ref.repository}{hint}")
