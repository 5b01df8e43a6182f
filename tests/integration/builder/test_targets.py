"""Python layers for several platforms, C libraries and interpreters from one machine. The bases have no layers of their own here."""

import io
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from builder.base.model import Base
from builder.cache import Cache
from builder.errors import DependencyError, PythonUnfit, SyntaxInvalid, UsageError
from builder.language import Job, Parts
from builder.languages.python import PythonFunction
from builder.options import BuildOptions, Step
from builder.platform import Platform
from builder.project import load_project
from builder.python.interpreter import Interpreter
from builder.sources.source import read_source
from tests.integration.builder.conftest import HANDLER, Workshop

MACHINES = {62: "amd64", 183: "arm64"}  # in an ELF header
ASK = "import platform, sys; print(platform.python_version(), sys.implementation.cache_tag)"


@cache
def interpreter(minor: str) -> Interpreter | None:
    """A Python of that minor version on this machine."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # a test's own is empty
    installed = (home / ".pyenv/versions").glob(f"{minor}.*/bin/python3")
    for path in (*map(str, sorted(installed)), shutil.which(f"python{minor}")):
        if path and not (ended := subprocess.run([path, "-I", "-S", "-c", ASK], capture_output=True, text=True, check=False)).returncode:
            version, tag = ended.stdout.split()
            return Interpreter((path,), version, tag)
    return None


def base(architecture: str = "amd64", *, minor: str = "3.13", libc: str = "glibc 2.41") -> Base:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"Python {minor} is not on this machine")
    return Base(f"python{minor}", Platform(architecture), libc=libc, python=python)


@dataclass
class Built:
    """What a build made for its targets."""

    parts: list[Parts]
    steps: list[Step]
    cache: Cache

    def files(self, kind: str, which: int = 0) -> dict[str, bytes]:
        found = {}
        for built in self.parts[which].layers:
            if built.layer.kind == kind:
                with tarfile.open(self.cache.blob(built.layer.digest)) as archive:
                    for member in archive:
                        if member.isfile():
                            content = archive.extractfile(member)
                            assert content is not None
                            found[member.name] = content.read()
        return found

    def digests(self, kind: str, which: int = 0) -> list[str]:
        return [built.layer.digest for built in self.parts[which].layers if built.layer.kind == kind]


async def build(workshop: Workshop, source: Path, *bases: Base, **options: Any) -> Built:
    given = {"store": None, "outputs": ("oci:x",), "cache": workshop.root / "cache", "base": bases[0].name, **options}
    steps: list[Step] = []
    tree = read_source(source, 1 << 30, 1000, 1 << 30)
    job = Job(load_project(source), tree, BuildOptions(**given), Cache(given["cache"]), steps.append)
    function = PythonFunction(job)
    await function.check()
    return Built([await function.parts(one) for one in bases], steps, job.cache)


def machines(files: dict[str, bytes]) -> set[str]:
    """The processors that the compiled files are for."""
    found = set()
    for name, data in files.items():
        if ".so" in name.rpartition("/")[2]:
            assert data[:4] == b"\x7fELF"
            found.add(MACHINES[int.from_bytes(data[18:20], "little")])
    return found


class TestPlatforms:
    async def test_each_gets_its_own_wheels_and_shares_what_is_the_same(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, requirements_txt="msgspec\nidna\n")
        built = await build(workshop, source, base("amd64"), base("arm64"))
        for which, platform in enumerate(("amd64", "arm64")):
            deps, runtime = built.files("deps", which), built.files("runtime", which)
            assert machines(deps) == {platform}
            assert machines(runtime) == {platform}
            assert all("cpython-313" in name for name in (*deps, *runtime) if name.endswith((".so", ".pyc")) and "abi3" not in name)
            found = {one.name: one for one in built.parts[which].components}
            assert set(found) == {"kfn", "httptools", "msgspec", "idna"}
            assert found["idna"].purl == f"pkg:pypi/idna@{found['idna'].version}"
            assert found["idna"].licenses == ("BSD-3-Clause",)
            lock = (source / "kfn.lock").read_text()
            assert all(digest in lock for name in ("msgspec", "idna") for digest in found[name].sha256)
            assert [len(one.sha256) for one in found.values() if one.name != "kfn"] == [1, 1, 1]
        one, two = ({c.name: c.sha256 for c in parts.components} for parts in built.parts)
        assert one["idna"] == two["idna"]
        assert one["msgspec"] != two["msgspec"]
        assert built.digests("source", 0) == built.digests("source", 1)
        assert [step.name for step in built.steps].count("source") == 1

    async def test_a_musl_base_gets_musl_wheels(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, requirements_txt="msgspec\n")
        built = await build(workshop, source, base("amd64", libc="musl 1.2"), base("arm64", libc="musl 1.2"))
        for which, machine in enumerate(("x86_64", "aarch64")):
            wheel = [data for name, data in built.files("deps", which).items() if name.endswith(".dist-info/WHEEL")]
            assert f"musllinux_1_2_{machine}".encode() in wheel[0] or f"musllinux_1_1_{machine}".encode() in wheel[0]
            assert any(f"{machine}-linux-musl.so" in name for name in built.files("runtime", which))

    async def test_an_old_c_library_gets_no_wheels_that_it_cannot_load(self, workshop: Workshop) -> None:
        with pytest.raises(UsageError, match=r"its C library is glibc 2\.12; wheels need glibc 2\.17 or later"):
            await build(workshop, workshop.source(), base(libc="glibc 2.12"))

    async def test_a_wheel_that_one_platform_lacks_is_told_with_the_ways_out(self, workshop: Workshop) -> None:
        source = wheelhouse(workshop, wheel("tiny", "1.0", tag="cp313-cp313-manylinux_2_17_x86_64"))
        assert (await build(workshop, source, base("amd64"))).files("deps")["opt/kfn/deps/tiny.py"] == b"X = '1.0'\n"
        with pytest.raises(DependencyError) as error:
            await build(workshop, source, base("amd64"), base("arm64"))
        for said in (
            "tiny",
            "Python 3.13 on aarch64-manylinux_2_40",
            "another --platform",
            "--allow-sdists",
            "kfn.python",
            "requirements.txt",
        ):
            assert said in str(error.value)
        assert error.value.exit_code == 3


class TestPythons:
    async def test_one_lock_serves_several_and_each_has_bytecode_of_its_own_interpreter(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, requirements_txt="msgspec\n")
        built = await build(workshop, source, base(minor="3.13"))
        lock = (source / "kfn.lock").read_text()
        other = await build(workshop, source, base(minor="3.12"), locked=True)
        assert (source / "kfn.lock").read_text() == lock
        for made, tag in ((built, "cpython-313"), (other, "cpython-312")):
            for kind in ("runtime", "deps", "source"):
                compiled = [name for name in made.files(kind) if name.endswith(".pyc")]
                assert compiled
                assert all(tag in name for name in compiled)
        assert "python_full_version" not in lock

    async def test_syntax_that_only_the_bases_python_knows_is_no_error(self, workshop: Workshop) -> None:
        source = workshop.source(func_py="type Answer = str\n" + HANDLER)
        built = await build(workshop, source, base(minor="3.13"))
        assert built.parts[0].handler == "func:handle"
        if sys.version_info < (3, 12):
            with pytest.raises(SyntaxInvalid, match=r"func\.py:1"):
                await workshop.build(source)

    async def test_an_error_that_any_python_sees_is_told_before_the_base_is_asked_for(self, workshop: Workshop) -> None:
        source = workshop.source(func_py="def handle(request)\n    return 1\n")
        python = base(minor="3.13")
        older = Base("python3.11", python.platform, python=python.python)
        with pytest.raises(SyntaxInvalid, match=r"func\.py:1"):
            await build(workshop, source, older)

    async def test_a_warm_build_compiles_once_and_with_the_bases_interpreter(self, workshop: Workshop) -> None:
        source = workshop.source()
        await build(workshop, source, base())
        before = len(list((workshop.root / "cache/keys").iterdir()))
        (source / "func.py").write_text(HANDLER + "# changed\n")
        built = await build(workshop, source, base())
        assert [step.name for step in built.steps] == ["source", "deps", "runtime"]
        assert len(list((workshop.root / "cache/keys").iterdir())) == before + 1, "only the source layer was made"

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"func.yaml": "kfn: {python: 3.11}\n"}, r"kfn\.python is 3\.11, and --base python3\.13 has Python 3\.13"),
            (
                {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = "<3.13"\n'},
                r"requires-python .* is <3\.13, and --base",
            ),
        ],
    )
    async def test_a_base_with_another_python_than_wanted_is_refused(self, workshop: Workshop, files: dict[str, str], said: str) -> None:
        with pytest.raises(PythonUnfit, match=said):
            await build(workshop, workshop.source(func_py=HANDLER, **files), base(minor="3.13"))

    async def test_this_machines_python_that_is_too_old_is_told_before_anything_is_asked_for(self, workshop: Workshop) -> None:
        text = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.99"\ndependencies = ["no-such-package-at-all"]\n'
        with pytest.raises(DependencyError, match="kfn has bases with Python"):
            await workshop.build(workshop.source(func_py=HANDLER, pyproject_toml=text))


def wheel(name: str, version: str, tag: str = "py3-none-any", **files: str) -> tuple[str, bytes]:
    """A wheel's file name and content."""
    import zipfile

    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"X = '{version}'\n",
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    content.setdefault(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{name}-{version}-{tag}.whl", out.getvalue()


def wheelhouse(workshop: Workshop, *wheels: tuple[str, bytes]) -> Path:
    """A source that asks for all these, from a folder of its own and no index."""
    names = sorted({file.split("-")[0] for file, _ in wheels})
    source = workshop.source(func_py=HANDLER, requirements_txt="--no-index\n--find-links wheels\n" + "".join(f"{n}\n" for n in names))
    (source / "wheels").mkdir()
    for file, content in wheels:
        (source / "wheels" / file).write_bytes(content)
    return source
