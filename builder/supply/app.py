"""What a build says about its image: the facts collected, and made into what is attached. `attach.py` makes it, `deliver.py` takes it.

wanted(options)                     before the build: a key that cannot be used is said at once
describe(...) for each platform     after it
beside(...)                         -> Attached
"""

import importlib.metadata
import platform
import uuid
import zlib
from collections.abc import Sequence
from datetime import datetime

from builder.base.model import NONE, Base
from builder.errors import UsageError
from builder.language import Job, Parts
from builder.oci import Content
from builder.options import FORMAT, BuildOptions, BuiltLayer
from builder.sources.origin import UNKNOWN, Origin
from builder.supply import keys
from builder.supply.attach import Attached, Wanted, attached
from builder.supply.model import Described, Run
from kfn.clock import timestamp, utcnow
from kfn.version import VERSION


def wanted(options: BuildOptions) -> Wanted:
    """What the options ask for. Raises UsageError and KeyInvalid."""
    if options.sign and not options.leaves:
        raise UsageError("--sign: the image stays in this machine's store, where nobody checks it; add --push or -o oci:DIR")
    if options.sign_old and not options.sign:
        raise UsageError("--sign-old is a form of signature and needs --sign KEY")
    told = options.leaves and (options.push or options.sign is not None if options.attest is None else options.attest)
    signer = keys.private(options.sign) if options.sign else None
    return Wanted(options.sbom_format if told else "", told, signer, options.sign_old)


def describe(name: str, content: Content, base: Base, parts: Parts, layers: Sequence[BuiltLayer]) -> Described:
    """The facts of the image for one platform."""
    runtime = next((built.layer.diff_id for built in layers if built.layer.kind == "runtime"), "")
    stands = base.name != NONE
    return Described(
        name=name,
        image=content,
        components=parts.components,
        base=base.name if stands else "",
        base_reference=base.reference if stands else "",
        base_digest=base.digest if stands else "",
        base_components=base.components if stands else (),
        runtime=runtime,
    )


def beside(
    job: Job,
    described: Sequence[Described],
    whole: Content,
    asked: Wanted,
    began: datetime,
    repository: str = "",
    origin: Origin = UNKNOWN,
    handler: str = "",
) -> Attached:
    """Everything that is to lie beside the image. `repository` is where it goes; only the old form of signatures names it."""
    if not asked:
        return Attached()
    options = job.options
    run = Run(
        source_digest=job.source.digest,
        origin=origin,
        options={**_options(options, described), "allowSdists": options.allow_sdists or job.project.allow_sdists},
        internal={"layerFormat": FORMAT, **({"handler": handler} if handler else {})},
        versions=_versions(options),
        builder=options.builder_id,
        invocation=str(uuid.uuid4()),
        started=timestamp(began),
        finished=timestamp(utcnow()),
    )
    return attached(described, whole, run, asked, repository or described[0].name)


def _options(options: BuildOptions, described: Sequence[Described]) -> dict[str, object]:
    """Those that the image depends on, and that `--verify` gives again. Never a path, an index or an environment."""
    namespace, _, name = described[0].name.partition("/")
    return {
        "name": name,
        "namespace": namespace,
        "base": described[0].base or NONE,
        **({"baseReference": described[0].base_reference} if described[0].base_reference else {}),
        "compression": options.compression,
        "wheels": options.wheels,
        "extras": sorted(options.extras),
        "timestamp": options.timestamp,
        "gitAnnotations": options.git_annotations,
    }


def _versions(options: BuildOptions) -> dict[str, str]:
    """Of what the bytes may depend on: zlib for what is compressed, Python and uv for what is chosen."""
    found = {"kfn": VERSION, "python": platform.python_version(), "uv": _version("uv"), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    if options.compression == "zstd":
        found["zstandard"] = _version("zstandard")
    return {name: version for name, version in found.items() if version}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
