"""A ready program becomes an image, or is refused with what is wrong with it. Real programs of this machine and of the Go linker's."""

import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from builder.base.model import Base
from builder.errors import HandlerNotFound, ProgramUnfit, UsageError
from builder.languages.programs import check
from builder.options import BuildResult
from builder.platform import host
from tests.integration.builder.conftest import Workshop
from tests.unit.builder.test_elf import program

OTHER = {"amd64": 183, "arm64": 62}[host().architecture]
HOST = {"amd64": 62, "arm64": 183}[host().architecture]


def write(path: Path, data: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(program(HOST) if data is None else data)
    path.chmod(0o755)
    return path


def names(workshop: Workshop, result: BuildResult) -> list[tuple[str, int]]:
    with tarfile.open(workshop.store.blob_path(result.layers[-1].layer.digest)) as tar:
        return [(member.name, member.mode) for member in tar if not member.isdir()]


class TestAReadyProgram:
    async def test_is_the_whole_image(self, workshop: Workshop, tmp_path: Path) -> None:
        write(tmp_path / "out/hello.v1").chmod(0o600)
        result = await workshop.build(tmp_path, binary=str(tmp_path / "out/hello.v1"))
        image = workshop.image(result)
        assert names(workshop, result) == [("func/hello.v1", 0o755)]
        assert image.config["config"]["Entrypoint"] == ["/func/hello.v1"]
        assert image.config["config"]["User"] == "1000:1000"
        assert image.labels["dev.kfn.runtime"] == "binary"
        assert result.name == "hello"

    async def test_has_the_same_digest_from_another_folder_and_time(self, workshop: Workshop, tmp_path: Path) -> None:
        first = await workshop.build(tmp_path, binary=str(write(tmp_path / "a/hello")))
        os.utime(write(tmp_path / "b/deep/hello"), (1, 1))
        second = await workshop.build(tmp_path, binary=str(tmp_path / "b/deep/hello"), no_cache=True)
        assert first.digest == second.digest

    async def test_takes_the_files_beside_it_along(self, workshop: Workshop) -> None:
        folder = workshop.source("app", **{"func.yaml": "name: app\nruntime: binary\nkfn: {handler: ./bin/app}\n", "page.html": "<p>hello"})
        write(folder / "bin/app")
        result = await workshop.build(folder)
        assert names(workshop, result) == [("func/bin/app", 0o755), ("func/page.html", 0o644)]
        assert workshop.image(result).config["config"]["Entrypoint"] == ["/func/bin/app"]

    async def test_is_found_if_it_is_the_only_one(self, workshop: Workshop, tmp_path: Path) -> None:
        write(tmp_path / "app/hello")
        result = await workshop.build(tmp_path / "app")
        assert (result.handler, result.project.runtime) == ("hello", "binary")

    async def test_of_each_platform_goes_into_its_image_alone(self, workshop: Workshop) -> None:
        folder = workshop.source("app", **{"func.yaml": "runtime: binary\nkfn: {handler: './bin/{arch}/app'}\n"})
        write(folder / "bin/amd64/app", program(62))
        write(folder / "bin/arm64/app", program(183))
        assert names(workshop, await workshop.build(folder)) == [(f"func/bin/{host().architecture}/app", 0o755)]


class TestARefusedProgram:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (program(OTHER), r"hello is for (amd64|arm64), the image for linux/.*\{arch\} in the path stands for"),
            (b"#!/bin/sh\nexec ./server\n", "hello: it is a script"),
            (program(HOST)[:80], "hello: a header points outside of the file"),
            (program(HOST, kind=3), "hello is a shared library"),
            (program(HOST, 3, b"/lib/ld-nowhere.so.1", (b"libc.so.6",)), "needs /lib/ld-nowhere.so.1, which this machine does not have"),
        ],
        ids=["other machine", "script", "cut", "library", "no loader"],
    )
    async def test_says_what_is_wrong_and_what_to_do(self, workshop: Workshop, tmp_path: Path, data: bytes, said: str) -> None:
        file = write(tmp_path / "hello", data)
        with pytest.raises(ProgramUnfit, match=said):
            await workshop.build(tmp_path, binary=str(file))
        assert not (tmp_path / "images/index.json").exists()

    async def test_setuid_is_refused(self, workshop: Workshop, tmp_path: Path) -> None:
        write(tmp_path / "hello").chmod(0o4755)
        with pytest.raises(ProgramUnfit, match=r"setuid or setgid.*chmod ug-s hello"):
            await workshop.build(tmp_path, binary=str(tmp_path / "hello"))

    async def test_a_missing_file_or_a_folder_is_named(self, workshop: Workshop, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--binary .*/none: there is no such file"):
            await workshop.build(tmp_path, binary=str(tmp_path / "none"))
        with pytest.raises(UsageError, match=r"--binary .* is not a file"):
            await workshop.build(tmp_path, binary=str(tmp_path / "cache"))

    async def test_two_programs_need_a_word(self, workshop: Workshop) -> None:
        folder = workshop.source("app", **{"func.yaml": "runtime: binary\n"})
        write(folder / "one")
        write(folder / "two")
        with pytest.raises(HandlerNotFound, match=r"2 programs: one, two; name one in func.yaml, for example kfn: \{handler: ./one\}"):
            await workshop.build(folder)

    async def test_a_handler_that_is_not_there_is_named_with_what_is(self, workshop: Workshop) -> None:
        folder = workshop.source("app", **{"func.yaml": "runtime: binary\nkfn: {handler: ./helo}\n"})
        write(folder / "hello")
        with pytest.raises(HandlerNotFound, match=r"kfn\.handler: there is no file helo\. There are hello"):
            await workshop.build(folder)

    async def test_a_builder_and_a_program_at_once_are_refused(self, workshop: Workshop, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give one of them"):
            await workshop.build(tmp_path, binary="x", builder="dockerfile")


class TestADynamicProgram:
    DYNAMIC = program(HOST, 3, b"/lib64/ld-linux-x86-64.so.2", (b"libm.so.6", b"libc.so.6"))

    def test_on_a_base_without_libraries_is_refused_with_their_names_and_another_base(self, tmp_path: Path) -> None:
        file = write(tmp_path / "hello", self.DYNAMIC)
        said = r"needs /lib64/ld-linux-x86-64\.so\.2, libm\.so\.6, libc\.so\.6, which the base static does not have\. Link it statically"
        with pytest.raises(ProgramUnfit, match=said) as told:
            check(file, "hello", Base("static", host()), frozenset({"passwd"}))
        assert "--base python" in str(told.value)

    def test_on_a_base_that_has_them_is_fine_and_what_is_missing_is_named_alone(self, tmp_path: Path) -> None:
        file, has = write(tmp_path / "hello", self.DYNAMIC), {"ld-linux-x86-64.so.2", "libm.so.6", "libc.so.6"}
        check(file, "hello", Base("python3.13", host()), frozenset(has))
        with pytest.raises(ProgramUnfit, match=r"needs libm\.so\.6, which the base python3\.13"):
            check(file, "hello", Base("python3.13", host()), frozenset(has - {"libm.so.6"}))

    def test_on_a_base_that_cannot_be_looked_into_is_let_through(self, tmp_path: Path) -> None:
        check(write(tmp_path / "hello", self.DYNAMIC), "hello", Base("registry/own:1", host()), None)

    async def test_of_this_machine_runs_without_a_base(self, workshop: Workshop, tmp_path: Path) -> None:
        shutil.copy(os.path.realpath(sys.executable), tmp_path / "program")
        assert (await workshop.build(tmp_path, binary=str(tmp_path / "program"))).handler == "program"
