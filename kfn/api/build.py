"""`kfn.dev/v1alpha1` Build: source to image in a cluster, once. What it asks for never changes, but that it may be cancelled."""

from kfn.api.base import Base
from kfn.api.core import ResourceRequirements
from kfn.api.meta import Condition, ObjectMeta

GROUP = "kfn.dev"
API_VERSION = "kfn.dev/v1alpha1"
TIMEOUT_SECONDS = 600


class GitSource(Base, frozen=True):
    """`ref` is a branch, a tag or a commit; empty means the repository's default branch. `subdir` is the function's folder in it."""

    url: str = ""
    ref: str = ""
    subdir: str = ""


class BuildSource(Base, frozen=True):
    """Exactly one of them. `artifact` is `registry/repository@sha256:...` as `kfn build --remote` uploads it; `inline` has the text of
    a few small files by their names."""

    artifact: str = ""
    git: GitSource | None = None
    inline: dict[str, str] = {}


class BuildImage(Base, frozen=True):
    """Where the image goes: `registry.example/team/hello`, and the tags that it gets there beside its digest."""

    repository: str = ""
    tags: list[str] = []


class BuilderOptions(Base, frozen=True):
    """As the flags of `kfn build`. `allow_sdists` lets the builds of source distributions run, which are foreign code."""

    allow_sdists: bool = False
    compression: str = ""
    registry_cache: str = ""
    no_cache: bool = False
    locked: bool = False
    strict: bool = False
    allow_secret_files: list[str] = []
    extras: list[str] = []


class BuildSpec(Base, frozen=True):
    """Secrets are named, and must be in the Build's namespace: `push_secret` and `pull_secret` (kubernetes.io/dockerconfigjson),
    `index_secret` (the package index: `url`, `username` and `password`; certificates to trust: `ca.crt`), `git_secret` (`username` and
    `password`)."""

    source: BuildSource = BuildSource()
    image: BuildImage = BuildImage()
    name: str = ""
    platforms: list[str] = []
    base: str = ""
    options: BuilderOptions = BuilderOptions()
    timeout_seconds: int = 0
    push_secret: str = ""
    pull_secret: str = ""
    index_secret: str = ""
    git_secret: str = ""
    resources: ResourceRequirements | None = None
    cancel: bool = False


class BuildPhase(Base, frozen=True):
    """One step of a build that is done, as the command line shows it."""

    name: str = ""
    detail: str = ""
    cached: bool = False
    seconds: float = 0.0


class BuildStatus(Base, frozen=True):
    """`image` is the reference by digest. `queue_position` is 1 for the build that starts next, 0 once it has started."""

    observed_generation: int = 0
    conditions: list[Condition] = []
    image: str = ""
    digest: str = ""
    commit: str = ""
    start_time: str = ""
    completion_time: str = ""
    phases: list[BuildPhase] = []
    cache_hits: int = 0
    queue_position: int = 0
    attempts: int = 0
    job: str = ""
    exit_code: int | None = None
    log_tail: list[str] = []
    warnings: list[str] = []


class Build(Base, frozen=True):
    """One build of an image from source, run as a Job without privileges."""

    api_version: str = API_VERSION
    kind: str = "Build"
    metadata: ObjectMeta = ObjectMeta()
    spec: BuildSpec = BuildSpec()
    status: BuildStatus = BuildStatus()
