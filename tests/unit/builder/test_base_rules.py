"""Where files of a package lie in a base, what is left out, and what stands in for the packages' scripts."""

import pytest

from builder.base import configure
from builder.base.place import file_mode, folder_mode, place
from builder.base.recipes import RECIPES, STATIC, group

PLACES = [
    ("bin/ls", "usr/bin/ls"),
    ("lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
    ("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
    ("usr/lib/python3.13/json/__init__.py", "usr/lib/python3.13/json/__init__.py"),
    ("usr/share/doc/libc6/copyright", "usr/share/doc/libc6/copyright"),
    ("usr/share/doc/libstdc++6", "usr/share/doc/libstdc++6"),
    ("usr/share/common-licenses/GPL-3", "usr/share/common-licenses/GPL-3"),
    ("usr/share/zoneinfo/Europe/Berlin", "usr/share/zoneinfo/Europe/Berlin"),
    ("usr/lib/os-release", "usr/lib/os-release"),
    ("etc/os-release", "etc/os-release"),
    ("usr/lib/python3.13/unittest/mock.py", "usr/lib/python3.13/unittest/mock.py"),
    ("usr/lib/python3/dist-packages/numpy/testing.py", "usr/lib/python3/dist-packages/numpy/testing.py"),
    ("library/x", "library/x"),
]
LEFT_OUT = [
    *(("", "."), ("bin", "lib"), ("sbin", "lib64")),
    ("usr/share/man", "usr/share/man/man1/ls.1.gz"),
    ("usr/share/doc/libc6/changelog.Debian.gz", "usr/share/locale/de/LC_MESSAGES/libc.mo"),
    ("usr/lib/x86_64-linux-gnu/gconv/UTF-16.so", "lib/x86_64-linux-gnu/gconv"),
    ("usr/lib/python3.13/test/support/__init__.py", "usr/lib/python3.13/idlelib/run.py"),
    ("usr/lib/python3.13/ensurepip/__init__.py", "usr/lib/python3.13/sitecustomize.py"),
    ("usr/lib/python3.11/lib2to3/tests/x.py", "etc/python3.13/sitecustomize.py"),
    ("lib/systemd/system/x.service", "etc/init.d/x"),
    ("usr/bin/pydoc3.13", "usr/sbin/update-ca-certificates"),
]


class TestPlacing:
    @pytest.mark.parametrize(("path", "where"), PLACES)
    def test_a_file_lies_below_usr_if_its_folder_was_merged(self, path: str, where: str) -> None:
        assert place(path) == where

    @pytest.mark.parametrize("path", [path for pair in LEFT_OUT for path in pair])
    def test_what_no_function_reads_is_left_out(self, path: str) -> None:
        assert place(path) is None

    def test_the_links_that_debian_13s_base_files_brings_are_not_moved_into_themselves(self) -> None:
        assert [place(name) for name in ("bin", "sbin", "lib", "lib64")] == [None] * 4

    @pytest.mark.parametrize(("mode", "kept"), [(0o4755, 0o755), (0o2755, 0o755), (0o600, 0o644), (0o640, 0o644), (0o700, 0o755)])
    def test_no_special_bit_is_kept_and_everybody_may_read(self, mode: int, kept: int) -> None:
        assert file_mode(mode) == kept

    def test_everybody_may_write_to_tmp_and_nobody_may_look_into_roots_home(self) -> None:
        assert (folder_mode("tmp"), folder_mode("var/tmp"), folder_mode("root"), folder_mode("etc")) == (0o1777, 0o1777, 0o700, 0o755)


class TestWhatScriptsWouldWrite:
    def test_the_functions_user_has_a_name_and_a_home_of_its_own(self) -> None:
        made = {member.path: member for member in configure.static({"a.crt": b"A"}, True)}
        assert b"nonroot:x:1000:1000:nonroot:/home/nonroot:" in made["etc/passwd"].load()  # type: ignore[misc,operator]
        assert (made["home/nonroot"].owner, made["home/nonroot"].folder) == (1000, True)
        assert made["tmp"].mode == 0o1777

    def test_certificates_are_joined_in_the_order_of_their_names_each_ending_its_line(self) -> None:
        made = {member.path: member for member in configure.static({"b.crt": b"B\n", "a.crt": b"A"}, True)}
        assert made[configure.CERTIFICATES].load() == b"A\nB\n"  # type: ignore[misc]

    def test_arm64_has_no_lib64(self) -> None:
        assert "lib64" not in {member.path for member in configure.static({"a.crt": b"A"}, False)}

    def test_registered_alternatives_become_links(self) -> None:
        script = (
            "#!/bin/sh\nupdate-alternatives --install /usr/lib/x/libblas.so.3 \\\n  libblas.so.3-x /usr/lib/x/blas/libblas.so.3 10 \\\n"
            "  --slave /usr/bin/a a /usr/bin/b\nupdate-alternatives --install $where x $target 1\n"
        )
        assert configure.alternatives(script) == {"usr/lib/x/libblas.so.3": "/usr/lib/x/blas/libblas.so.3", "usr/bin/a": "/usr/bin/b"}


class TestLayers:
    @pytest.mark.parametrize(
        ("package", "layer"),
        [("tzdata", "static"), ("libc6", "libs"), ("gcc-14-base", "libs"), ("python3.13", "own"), ("libgomp1", "extra")],
    )
    def test_each_package_has_its_layer(self, package: str, layer: str) -> None:
        assert group(package, {"python3.13", "libc6"}) == layer

    def test_all_bases_of_a_suite_begin_with_the_static_one(self) -> None:
        assert all(set(STATIC) <= set(recipe.packages) for recipe in RECIPES.values())
