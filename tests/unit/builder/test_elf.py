"""What is read of a program, and that no number in a broken one is believed."""

import io
import os
import random
import shutil
import struct
import sys
from pathlib import Path

import pytest

from builder import elf


def program(machine: int = 62, kind: int = 2, interpreter: bytes = b"", needed: tuple[bytes, ...] = (), flags: int = 0) -> bytes:
    """A little ELF file with one segment of each kind, as a linker would lay it out."""
    names = b"\0" + b"\0".join(needed) + b"\0"
    offsets = [1 + sum(len(name) + 1 for name in needed[:n]) for n in range(len(needed))]
    dynamic = b"".join(struct.pack("<QQ", 1, at) for at in offsets)
    size = 64 + 3 * 56
    strings_at = size + len(interpreter) + 1
    dynamic += struct.pack("<QQQQQQQQ", 5, 0x1000 + strings_at, 10, len(names), 0x6FFFFFFB, flags, 0, 0)
    body = interpreter + b"\0" + names
    dynamic_at = size + len(body)
    segments = [struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0x1000, 1 << 16, 1 << 16, 4096)]
    if interpreter:
        segments.append(struct.pack("<IIQQQQQQ", 3, 4, size, 0, 0, len(interpreter) + 1, 0, 1))
    if needed or flags:
        segments.append(struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, 0, 0, len(dynamic), 0, 8))
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return (head + b"".join(segments)).ljust(size, b"\0") + body + dynamic


def parsed(data: bytes) -> elf.Elf:
    return elf.parse(io.BytesIO(data), len(data))


class TestAProgram:
    @pytest.mark.parametrize(("machine", "name"), [(62, "amd64"), (183, "arm64"), (40, "arm"), (999, "machine 999")])
    def test_says_for_which_machine_it_is(self, machine: int, name: str) -> None:
        assert parsed(program(machine)).architecture == name

    def test_that_is_static_needs_nothing(self) -> None:
        assert parsed(program()) == elf.Elf("amd64", "", (), False)

    def test_that_is_dynamic_names_its_loader_and_libraries(self) -> None:
        read = parsed(program(kind=3, interpreter=b"/lib64/ld-linux-x86-64.so.2", needed=(b"libm.so.6", b"libc.so.6")))
        assert (read.interpreter, read.needed, read.library) == ("/lib64/ld-linux-x86-64.so.2", ("libm.so.6", "libc.so.6"), False)

    def test_is_told_from_a_library(self) -> None:
        assert parsed(program(kind=3)).library
        assert parsed(program(kind=3, needed=(b"libc.so.6",))).library
        assert not parsed(program(kind=3, flags=0x08000000)).library  # static and position independent

    def test_of_this_machine_is_read_as_it_is(self, tmp_path: Path) -> None:
        read = elf.read(Path(os.path.realpath(sys.executable)))
        assert read.architecture in ("amd64", "arm64")
        assert read.interpreter.rpartition("/")[2].startswith("ld-")
        assert any(name.startswith("libc.") for name in read.needed)
        shutil.copy(sys.executable, tmp_path / "python")
        assert elf.is_program(tmp_path / "python")


class TestAnythingElse:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"#!/bin/sh\necho hello\n", "it is a script"),
            (b"", "not an ELF file"),
            (b"MZ" + b"\0" * 100, "not an ELF file"),
            (b"\x7fELF", "cut off or broken"),
            (program()[:100], "points outside of the file"),
            (program(kind=1), "an object file or a core dump"),
            (program(kind=3, interpreter=b"/lib/ld.so", needed=(b"libc.so.6",))[:-60], "points outside of the file"),
        ],
        ids=["script", "empty", "windows", "four bytes", "no segments", "object", "cut at the end"],
    )
    def test_is_refused_with_what_it_is(self, data: bytes, said: str) -> None:
        with pytest.raises(elf.NotElf, match=said):
            parsed(data)

    def test_a_program_of_32_bits_is_named_as_such(self) -> None:
        data = bytearray(program(3))
        data[4] = 1
        assert parsed(bytes(data)).architecture == "386, 32 bits"

    def test_a_pipe_does_not_make_it_wait(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert not elf.is_program(tmp_path / "pipe")

    def test_a_spoilt_file_gives_an_answer_or_that_error_and_nothing_else(self) -> None:
        good, dice = program(kind=3, interpreter=b"/lib64/ld.so", needed=(b"libc.so.6", b"libm.so.6")), random.Random(7)
        for _ in range(3000):
            data = bytearray(good)
            for _ in range(dice.randint(1, 6)):
                data[dice.randrange(4, len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            try:
                parsed(bytes(data[: dice.randint(1, len(data))]))
            except elf.NotElf:
                continue
