"""func.yaml as Knative's `func` writes it, typed, plus kfn's own section `kfn:`. Parses text; reads no files.

Every field of func's schema is accepted, so that its projects deploy unchanged. A field that does not exist, or has the wrong
type, is an error with its line, its path and the nearest name.
"""

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from builder.errors import ProjectInvalid

if TYPE_CHECKING:
    import yaml  # 15 ms, which a folder without a func.yaml need not pay

MAX_BYTES = 256 * 1024
MAX_VALUES = 100_000  # when all aliases are written out
MAX_ALIASES = 100  # each may repeat a whole tree; nobody writes so many, an attack does
Scalar = str | int | float | bool


class Section(msgspec.Struct, frozen=True, rename="camel"):
    """A mapping in func.yaml."""


class Env(Section, frozen=True):
    name: str = ""
    value: Scalar | None = None


class Git(Section, frozen=True):
    url: str = ""
    revision: str = ""
    context_dir: str = ""


class BuildVolume(Section, frozen=True):
    host_path: str = ""
    path: str = ""


class Build(Section, frozen=True):
    """How Knative's func builds. kfn uses `build_envs`; the rest is accepted and has no meaning here."""

    git: Git = Git()
    builder: str = ""
    builder_images: dict[str, str] = {}
    buildpacks: list[str] = []
    build_envs: list[Env] = []
    pvc_size: str = ""
    remote_storage_class: str = ""
    base_image: str = ""
    volumes: list[BuildVolume] = []


class ClaimVolume(Section, frozen=True):
    claim_name: str = ""
    read_only: bool = False


class EmptyDir(Section, frozen=True):
    medium: str = ""
    size_limit: str = ""


class Volume(Section, frozen=True):
    secret: str = ""
    config_map: str = ""
    persistent_volume_claim: ClaimVolume | None = None
    empty_dir: EmptyDir | None = None
    path: str = ""


class Kafka(Section, frozen=True):
    brokers: str = ""
    topic: str = ""
    consumer_group: str = ""


class Run(Section, frozen=True):
    envs: list[Env] = []
    volumes: list[Volume] = []
    start_timeout: Scalar = ""
    kafka: Kafka = Kafka()


class Label(Section, frozen=True):
    key: str = ""
    value: Scalar | None = None


class HealthEndpoints(Section, frozen=True):
    liveness: str = ""
    readiness: str = ""


class Scale(Section, frozen=True):
    min: int | None = None
    max: int | None = None
    metric: str = ""
    target: float | None = None
    utilization: float | None = None


class Requests(Section, frozen=True):
    cpu: str | int | float = ""
    memory: str | int | float = ""


class Limits(Requests, frozen=True):
    concurrency: int | None = None


class Resources(Section, frozen=True):
    requests: Requests = Requests()
    limits: Limits = Limits()


class Options(Section, frozen=True):
    scale: Scale = Scale()
    resources: Resources = Resources()


class Subscription(Section, frozen=True):
    source: str = ""
    filters: dict[str, str] = {}


class Deploy(Section, frozen=True):
    namespace: str = ""
    image: str = ""
    annotations: dict[str, Scalar] = {}
    labels: list[Label] = []
    health_endpoints: HealthEndpoints = HealthEndpoints()
    service_account_name: str = ""
    image_pull_secret: str = ""
    deployer: str = ""
    management_disabled: bool = False
    subscriptions: list[Subscription] = []
    options: Options = Options()


class Kfn(Section, frozen=True):
    """What kfn adds. `pod` is merged into the pod's spec, `resources` into the container's, both as Kubernetes spells them."""

    handler: str = ""
    base: str = ""
    python: Scalar = ""
    extras: list[str] = []
    packages: list[str] = []
    allow_sdists: bool = False
    cold_start: str = ""
    builder: str = ""
    allow_scripts: bool = False
    allow_root: bool = False
    preload: list[str] | None = None
    timeout_seconds: int | None = None
    resources: dict[str, dict[str, Scalar]] = {}
    pod: dict[str, Any] = {}


class FuncYaml(Section, frozen=True):
    spec_version: str = ""
    name: str = ""
    domain: str = ""
    runtime: str = ""
    registry: str = ""
    registry_insecure: bool = False
    image: str = ""
    namespace: str = ""
    deployer: str = ""
    created: Any = None
    invoke: str = ""
    build: Build = Build()
    run: Run = Run()
    deploy: Deploy = Deploy()
    kfn: Kfn = Kfn()


def parse(text: str, file: str = "func.yaml") -> FuncYaml:
    """The typed content of a func.yaml. `file` is the name to show in errors."""
    if not text:
        return FuncYaml()
    import yaml

    if len(text) > MAX_BYTES:
        raise ProjectInvalid(f"{file} is larger than {MAX_BYTES // 1024} KiB")
    try:
        aliases = sum(isinstance(t, yaml.AliasToken) for t in yaml.scan(text, yaml.SafeLoader)) if "*" in text else 0
        if aliases > MAX_ALIASES:
            raise ProjectInvalid(f"{file} has {aliases} YAML aliases, {MAX_ALIASES} are allowed")
        tree = yaml.compose(text, yaml.SafeLoader)
        if aliases and _expanded(tree) > MAX_VALUES:
            raise ProjectInvalid(f"{file} repeats itself by YAML aliases to more than {MAX_VALUES} values; write less")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ProjectInvalid(_yaml_error(error, file)) from None
    if content is None:
        return FuncYaml()
    if not isinstance(content, dict):
        raise ProjectInvalid(f"{file} must hold fields such as `name: hello`, not a {type(content).__name__}")
    content = _without_nulls(content)
    _refuse_unknown(content, FuncYaml, (), tree, file)
    try:
        return msgspec.convert(content, FuncYaml)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        path = tuple(re.findall(r"[^.\[\]`]+", where))
        expected = message[:1].lower() + message[1:].replace("`", "").replace(" | null", "")
        raise ProjectInvalid(f"{_where(file, tree, path)}: {'.'.join(path)}: {expected}") from None


def _expanded(tree: "yaml.Node | None") -> int:
    """How many values the tree has when every alias is written out; too many for one that holds itself."""
    import yaml

    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if isinstance(node, tuple):
            return size(node[0]) + size(node[1])
        if not isinstance(node, yaml.CollectionNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = MAX_VALUES + 1  # met again before it is known: it holds itself
            sizes[id(node)] = 1 + sum(size(part) for part in node.value)
        return sizes[id(node)]

    return size(tree)


def at(text: str, path: str, file: str = "func.yaml") -> str:
    """`func.yaml:12: deploy.options.scale.min`, for errors about a value of the right type."""
    import yaml

    parts = tuple(re.findall(r"[^.\[\]]+", path))
    return f"{_where(file, yaml.compose(text, yaml.SafeLoader), parts)}: {path}"


def _refuse_unknown(value: Any, type_: Any, path: tuple[str, ...], tree: "yaml.Node | None", file: str) -> None:
    struct = next((t for t in (type_, *get_args(type_)) if isinstance(t, type) and issubclass(t, msgspec.Struct)), None)
    if isinstance(value, list) and get_origin(type_) is list:
        for index, item in enumerate(value):
            _refuse_unknown(item, get_args(type_)[0], (*path, str(index)), tree, file)
    elif isinstance(value, dict) and struct is not None and get_origin(type_) is not dict:
        known = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
        for key, item in value.items():
            here = (*path, str(key))
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.6)
                hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"
                raise ProjectInvalid(f"{_where(file, tree, here)}: {'.'.join(here)}: no such field{hint}")
            _refuse_unknown(item, known[key], here, tree, file)


def _where(file: str, tree: "yaml.Node | None", path: tuple[str, ...]) -> str:
    """`file:line` of the deepest node on the path that exists."""
    import yaml

    node, line = tree, 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return f"{file}:{line}"


def _without_nulls(value: Any) -> Any:
    """YAML's empty value means: not set."""
    if isinstance(value, dict):
        return {str(k): _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value


def _yaml_error(error: Exception, file: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{file}: {error}"
    snippet = mark.get_snippet(indent=4) or ""
    return f"{file}:{mark.line + 1}:{mark.column + 1}: {getattr(error, 'problem', None) or 'not YAML'}\n{snippet}"
