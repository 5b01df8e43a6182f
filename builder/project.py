"""A function project: what func.yaml says, or sensible defaults without one. Reads func.yaml; builds nothing.

Which runtime a folder needs if nothing says so is found by `detect.py`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builder import detect, funcyaml
from builder.errors import NotAProject, ProjectInvalid, UsageError
from builder.funcyaml import FuncYaml, HealthEndpoints, Scale, Subscription, Volume
from builder.profile import report

INVOKES = ("http", "cloudevent")
METRICS = ("concurrency", "rps")
NAME_RULE = "must be at most 63 of a-z, 0-9 and -, begin with a letter and not end in -"
_TEMPLATE = re.compile(r"\{\{\s*(env|secret|configMap)\s*:\s*([^\s:{}]+)\s*(?::\s*([^\s:{}]+)\s*)?\}\}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Debian policy 5.6.1
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One variable of the function: a value, or a key of a Secret or ConfigMap; no `name` means every key of it."""

    name: str = ""
    value: str = ""
    secret: str = ""
    config_map: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """What is to be built and how it is to run. Nothing here depends on a cluster."""

    path: Path
    name: str
    namespace: str = ""  # empty: the command line's or the cluster's default
    runtime: str = "python"
    invoke: str = "http"
    handler: str = ""  # empty: look for it
    preload: tuple[str, ...] | None = None  # None: find out
    image: str = ""  # where it is pushed to; empty: `registry` and the name
    registry: str = ""
    cold_start: str = ""  # how long a start may take: 150ms
    base: str = ""  # what the image stands on; empty: the language's own
    python: str = ""  # 3.13; empty: the newest that the project allows
    packages: tuple[str, ...] = ()  # of Debian, in a layer above the base
    extras: tuple[str, ...] = ()  # of pyproject.toml's optional dependencies
    allow_sdists: bool = False
    builder: str = ""  # empty: the language's own; dockerfile: a container file
    binary: str = ""  # a ready program that is all of the source; in it `{arch}` stands for the platform's
    allow_scripts: bool = False  # run the install scripts of Node packages, which are foreign code
    allow_root: bool = False  # an image of a container file may run as root
    envs: tuple[EnvVar, ...] = ()
    build_envs: tuple[tuple[str, str], ...] = ()
    volumes: tuple[Volume, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    scale: Scale = field(default_factory=Scale)
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    concurrency: int | None = None
    timeout_seconds: int | None = None
    health: HealthEndpoints = field(default_factory=HealthEndpoints)
    service_account: str = ""
    image_pull_secret: str = ""
    subscriptions: tuple[Subscription, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    has_func_yaml: bool = False


def load_project(path: Path, environ: Mapping[str, str] | None = None, *, builder: str = "", binary: str = "") -> Project:
    """Read the project at `path`. `{{ env:NAME }}` in func.yaml is taken from `environ` (default: this process's).

    `builder` and `binary` are the command line's, and win over what func.yaml says.
    """
    folder = path.absolute()
    if not folder.is_dir():
        raise NotAProject(f"{path} is not a folder" if folder.exists() else f"{path} does not exist")
    if binary and builder:
        raise UsageError("--binary and --builder say two ways to make one image; give one of them")
    file = folder / "func.yaml"
    has_func_yaml = file.is_file()
    try:
        text = file.read_text("utf-8") if has_func_yaml else ""
    except UnicodeDecodeError as error:
        raise ProjectInvalid(f"{file.name} is not UTF-8 text (byte {error.start})") from None
    content, read = funcyaml.parse(text), _Reader(text, os.environ if environ is None else environ)
    if binary:
        project = _from_yaml(folder, content, read, "binary", "")
        name = content.name or name_from(Path(binary).stem)
        return replace(project, name=name, binary=binary, handler="", has_func_yaml=has_func_yaml)
    if builder:
        chosen = detect.check_builder(builder, "--builder")
    else:
        chosen = detect.check_builder(content.kfn.builder, read.at("kfn.builder")) if content.kfn.builder else ""
    return replace(_from_yaml(folder, content, read, _runtime(folder, content, read, chosen), chosen), has_func_yaml=has_func_yaml)


def _runtime(folder: Path, content: FuncYaml, read: "_Reader", builder: str) -> str:
    if builder == detect.DOCKERFILE:
        return content.runtime or detect.DOCKERFILE
    return detect.check_runtime(content.runtime, read.at("runtime")) if content.runtime else detect.runtime(folder)


def name_from(text: str) -> str:
    """A valid name made of a folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (name if name[:1].isalpha() else f"f-{name}")[:63].strip("-") if name else "function"


def valid_name(name: str) -> bool:
    """A DNS-1035 label, because the name becomes a host name."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str
    environ: Mapping[str, str]

    def at(self, path: str) -> str:
        return funcyaml.at(self.text, path)

    def wrong(self, path: str, why: str) -> ProjectInvalid:
        return ProjectInvalid(f"{self.at(path)}: {why}")

    def one_of(self, path: str, value: str, known: tuple[str, ...]) -> str:
        if value not in ("", *known):
            raise self.wrong(path, f"{value!r} is not supported; use {' or '.join(known)}")
        return value or known[0]

    def at_least(self, path: str, value: float | None, least: float) -> None:
        if value is not None and not value >= least:
            raise self.wrong(path, f"{value:g} is too small, it must be at least {least:g}")

    def resolve(self, path: str, value: funcyaml.Scalar | None) -> str:
        """A value in which `{{ env:NAME }}` is replaced."""
        text = scalar(value)
        found = _TEMPLATE.fullmatch(text.strip())
        if found and found[1] == "env" and not found[3]:
            if found[2] not in self.environ:
                raise self.wrong(path, f"{{{{ env:{found[2]} }}}} names a variable that is not set here; export it or write the value")
            return self.environ[found[2]]
        if found or ("{{" in text and _TEMPLATE.search(text)):
            raise self.wrong(path, f"{text!r} cannot be used here; write a value or {{{{ env:NAME }}}}")
        return text


def scalar(value: funcyaml.Scalar | None) -> str:
    """YAML's true is Kubernetes' "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _env(read: _Reader, index: int, env: funcyaml.Env) -> EnvVar:
    path = f"run.envs[{index}]"
    found = _TEMPLATE.fullmatch(scalar(env.value).strip())
    if not found or found[1] == "env":
        if not env.name:
            raise read.wrong(path, "a variable needs a name")
        return EnvVar(env.name, read.resolve(f"{path}.value", env.value))
    kind, source, key = found[1], found[2], found[3] or ""
    if bool(env.name) != bool(key):
        what = f"{{{{ {kind}:NAME:KEY }}}}" if env.name else f"{{{{ {kind}:NAME }}}} without a key"
        raise read.wrong(f"{path}.value", f"with{'' if env.name else 'out'} a name it must be {what}")
    return EnvVar(env.name, secret=source if kind == "secret" else "", config_map=source if kind == "configMap" else "", key=key)


def _check(read: _Reader, content: FuncYaml) -> None:
    """Values of the right type that still make no sense."""
    scale, limits = content.deploy.options.scale, content.deploy.options.resources.limits
    for name, value, least in (
        ("min", scale.min, 0),
        ("max", scale.max, 0),
        ("target", scale.target, 0.01),
        ("utilization", scale.utilization, 1),
    ):
        read.at_least(f"deploy.options.scale.{name}", value, least)
    if scale.min is not None and scale.max and scale.min > scale.max:
        raise read.wrong("deploy.options.scale.min", f"{scale.min} is more than max, {scale.max}")
    if scale.utilization is not None and scale.utilization > 100:
        raise read.wrong("deploy.options.scale.utilization", f"{scale.utilization:g} is a percentage, at most 100")
    read.at_least("deploy.options.resources.limits.concurrency", limits.concurrency, 0)
    read.at_least("kfn.timeoutSeconds", content.kfn.timeout_seconds, 1)
    if content.name and not valid_name(content.name):
        raise read.wrong("name", f"{content.name!r} {NAME_RULE}; {name_from(content.name)} would do")
    if content.kfn.cold_start:
        try:
            report.budget(content.kfn.cold_start)
        except ValueError as error:
            raise read.wrong("kfn.coldStart", str(error)) from None
    for index, name in enumerate(content.kfn.packages):
        if not _PACKAGE.fullmatch(name):
            raise read.wrong(f"kfn.packages[{index}]", f"{name!r} is no name of a Debian package, such as libgomp1 or ffmpeg")
    for kind in content.kfn.resources:
        read.one_of(f"kfn.resources.{kind}", kind, ("limits", "requests"))


def _check_handler(read: _Reader, runtime: str, handler: str) -> None:
    """What it names depends on the runtime: an attribute of a module, a file, a package."""
    if runtime == "python":
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", handler):
            raise read.wrong("kfn.handler", f"{handler!r} must be module:attribute, for example func:handle")
    elif handler.startswith("/") or ".." in handler.split("/") or any(ord(c) < 32 for c in handler):
        names = {"node": "a script, for example ./server.js", "go": "a main package, for example ./cmd/hello"}
        raise read.wrong("kfn.handler", f"{handler!r} must be the path of {names.get(runtime, 'a program, for example ./hello')}")


def _from_yaml(folder: Path, content: FuncYaml, read: _Reader, runtime: str, builder: str) -> Project:
    _check(read, content)
    if content.kfn.handler and not builder:
        _check_handler(read, runtime, content.kfn.handler)
    deploy, options = content.deploy, content.deploy.options
    labels = {}
    for index, label in enumerate(deploy.labels):
        if not label.key:
            raise read.wrong(f"deploy.labels[{index}]", "a label needs a key")
        labels[label.key] = read.resolve(f"deploy.labels[{index}].value", label.value)
    resources = {
        kind: {k: scalar(getattr(own, k)) for k in ("cpu", "memory") if getattr(own, k) != ""}
        | {k: scalar(v) for k, v in content.kfn.resources.get(kind, {}).items()}
        for kind, own in (("requests", options.resources.requests), ("limits", options.resources.limits))
    }
    return Project(
        path=folder,
        name=content.name or name_from(folder.name),
        namespace=deploy.namespace or content.namespace,
        runtime=runtime,
        invoke=read.one_of("invoke", content.invoke, INVOKES),
        handler=content.kfn.handler,
        image=content.image,
        registry=content.registry,
        base=content.kfn.base,
        python=scalar(content.kfn.python),
        packages=tuple(sorted(set(content.kfn.packages))),
        extras=tuple(content.kfn.extras),
        allow_sdists=content.kfn.allow_sdists,
        cold_start=content.kfn.cold_start,
        builder=builder,
        allow_scripts=content.kfn.allow_scripts,
        allow_root=content.kfn.allow_root,
        preload=None if content.kfn.preload is None else tuple(content.kfn.preload),
        envs=tuple(_env(read, i, env) for i, env in enumerate(content.run.envs)),
        build_envs=tuple(
            (env.name, read.resolve(f"build.buildEnvs[{i}].value", env.value)) for i, env in enumerate(content.build.build_envs)
        ),
        volumes=tuple(content.run.volumes),
        annotations={key: scalar(value) for key, value in deploy.annotations.items()},
        labels=labels,
        scale=Scale(
            options.scale.min,
            options.scale.max,
            read.one_of("deploy.options.scale.metric", options.scale.metric, METRICS) if options.scale.metric else "",
            options.scale.target,
            options.scale.utilization,
        ),
        requests=resources["requests"],
        limits=resources["limits"],
        concurrency=options.resources.limits.concurrency,
        timeout_seconds=content.kfn.timeout_seconds,
        health=deploy.health_endpoints,
        service_account=deploy.service_account_name,
        image_pull_secret=deploy.image_pull_secret,
        subscriptions=tuple(deploy.subscriptions),
        pod=content.kfn.pod,
    )
