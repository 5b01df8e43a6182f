"""A language for kfn's own images: locked packages and kfn's own code, with bytecode, on a base. `recipes.py` says which."""

import hashlib
from functools import partial
from pathlib import Path

import builder
from builder.base.model import Base
from builder.cache import Cached, key
from builder.errors import BuildError
from builder.kfn_images.recipes import CODE, LOCKS, PACKAGES, USER, Recipe
from builder.language import Job, Parts
from builder.options import FORMAT, BuiltLayer, Step, count, size
from builder.python import interpreter, lockfile
from builder.python import target as targets
from builder.python.compiling import compile_files
from builder.python.deps import Wanted, dependencies
from builder.python.interpreter import Interpreter
from builder.python.requirements import Inputs
from builder.python.runtime import bytecode
from builder.python.uv import Uv
from builder.sources.source import Source, SourceFile, open_file
from builder.tar import Member
from kfn.version import VERSION

ROOT = Path(builder.__file__).parents[1]  # a checkout, or the folder that kfn is installed in
_SUFFIXES = (".py", ".lock", ".asc", ".typed")  # what kfn's packages need at run time
_LEFT_OUT = ("cli/templates/", "cli/installing/data/")  # the second one has the chart, in an installed kfn only


def read(recipe: Recipe) -> Source:
    """The files of kfn's own that go in, hashed."""
    found = []
    for package in PACKAGES if recipe.code else ():
        folder = ROOT / package
        if not (folder / "__init__.py").is_file():
            raise BuildError(f"{folder} is not there, and kfn's image needs it; install kfn again")
        for path in folder.rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in _SUFFIXES and path.is_file() and not name.startswith(_LEFT_OUT):
                data = path.read_bytes()
                found.append(SourceFile(name, len(data), False, hashlib.sha256(data).hexdigest()))
    found.sort(key=lambda file: file.path)
    total = hashlib.sha256("".join(f"{file.path}\0{file.sha256}\n" for file in found).encode())
    return Source(ROOT, tuple(found), total.hexdigest(), (), ())


class KfnProgram:
    """One build of one of kfn's own images."""

    def __init__(self, recipe: Recipe, job: Job) -> None:
        self._recipe, self._job = recipe, job

    def base(self) -> str:
        return self._recipe.base

    async def check(self) -> None:
        """The source is kfn itself, which runs."""

    async def parts(self, base: Base) -> Parts:
        job, recipe = self._job, self._recipe
        python = base.python or interpreter.running()  # without one in the base there is nothing to compile either
        target = targets.of(base, python, job.options.wheels)
        deps = [await dependencies(job, _locked(lock, job), target) for lock in recipe.locks]
        layers = [built for one in deps for built in one.layers]
        job.tell(Step("deps", f"{count(sum(one.packages for one in deps), 'package')}, {count(len(layers), 'layer')}", _all_cached(layers)))
        if recipe.code:
            made, cached = await self._code(python)
            layers.append(BuiltLayer(made.layer, f"kfn {VERSION}", cached))
            job.tell(Step("code", f"kfn {VERSION}, {count(len(job.source.files), 'file')}, {size(made.layer.size)}", cached))
        return Parts(
            layers=tuple(layers),
            entrypoint=recipe.entrypoint,
            folder="/",
            env=recipe.env,
            config={**base.config, "User": USER},
            labels={"dev.kfn.version": VERSION},
            annotations={"org.opencontainers.image.title": recipe.name, "org.opencontainers.image.version": VERSION},
            components=tuple({component.purl: component for one in deps for component in one.components}.values()),
            warnings=tuple(warning for one in deps for warning in one.warnings),
        )

    async def _code(self, python: Interpreter) -> tuple[Cached, bool]:
        job, source = self._job, self._job.source
        name = key("kfn's own code", FORMAT, CODE, python.version, python.tag, source.digest)
        await job.cache.look(name)
        if found := job.cache.get(name):
            return found, True
        with job.cache.folder() as scratch:
            sources = [file for file in source.files if file.path.endswith(".py")]
            for file in sources:  # a copy, so that what is compiled is what was hashed
                (scratch / "in" / file.path).parent.mkdir(parents=True, exist_ok=True)
                with open_file(source.root, file) as content:
                    (scratch / "in" / file.path).write_bytes(content.read(file.size))
            paths = [file.path for file in sources]
            compiled = await compile_files(python, scratch / "in", paths, scratch / "out", f"/{CODE}", timeout=job.options.check_timeout)
            if compiled.failures:
                raise BuildError(f"kfn's own code does not compile: {compiled.failures[0]}")
            members = [Member(f"{CODE}/{f.path}", stream=partial(open_file, source.root, f), size=f.size) for f in source.files]
            return job.cache.add(name, "source", [*members, *bytecode(scratch / "out", CODE)], {"files": len(members)}), False


def _all_cached(layers: list[BuiltLayer]) -> bool:
    return all(built.cached for built in layers)


def _locked(name: str, job: Job) -> Wanted:
    file = LOCKS[name]
    text = file.read_text("utf-8")
    inputs = Inputs("hashed", file.name, text, hashlib.sha256(text.encode()).hexdigest())
    return Wanted(Uv(file.parent, inputs, job.options.offline, ()), lockfile.parse(text, file.name))
