"""kfn's own images: what their locks hold, which files go in, how they are called."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from builder.errors import UsageError
from builder.kfn_images import app, program
from builder.kfn_images.recipes import LOCKS, OUTSIDE, PACKAGES, RECIPES, name_of, wanted
from builder.options import BuildOptions
from builder.python import lockfile

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    """Name to version."""
    found = lockfile.parse(LOCKS[lock].read_text(), LOCKS[lock].name)
    return {pin.name: pin.spec.partition(";")[0].partition("==")[2].strip() for pin in found}


class TestTheLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_have_the_versions_that_the_tests_run_with(self, lock: str) -> None:
        constraints = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
        other = {name: (version, constraints.get(name)) for name, version in pins(lock).items() if constraints.get(name) != version}
        assert not other, "run `make relock`"

    @pytest.mark.parametrize("lock", LOCKS)
    def test_have_what_pyproject_asks_for(self, lock: str) -> None:
        missing = {name_of(line) for line in wanted(lock, PROJECT["project"])} - pins(lock).keys()
        assert not missing, "run `make relock`"

    def test_have_each_requirement_once_but_for_those_that_no_pod_needs(self) -> None:
        parts = [{name_of(line) for line in wanted(lock, PROJECT["project"])} for lock in LOCKS]
        asked = {name_of(line) for line in PROJECT["project"]["dependencies"]}
        assert asked - set().union(*parts) == OUTSIDE
        assert sum(map(len, parts)) == len(set().union(*parts))

    @pytest.mark.parametrize("lock", LOCKS)
    def test_have_hashes_and_name_no_index(self, lock: str) -> None:
        text = LOCKS[lock].read_text()
        assert all(pin.hashes for pin in lockfile.parse(text, lock))
        assert not re.search(r"://|--index|--find-links", text)


class TestTheFilesOfKfnsOwn:
    def test_are_the_packages_of_the_wheel(self) -> None:
        assert set(PACKAGES) == set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])

    def test_are_code_and_what_it_reads_but_no_templates_and_no_bytecode(self) -> None:
        files = {file.path for file in program.read(RECIPES["kfn"]).files}
        assert {"cli/main.py", "kfn/version.py", "builder/python/runtime.lock", "builder/debian/keys/trixie.asc"} <= files
        assert not [path for path in files if "/templates/" in path or path.endswith((".pyc", ".md"))]

    def test_are_none_in_the_image_of_nats(self) -> None:
        assert not program.read(RECIPES["kfn-nats"]).files

    def test_have_a_digest_that_is_the_same_each_time(self) -> None:
        assert program.read(RECIPES["kfn"]).digest == program.read(RECIPES["kfn-builder"]).digest


class TestWhereTheyGo:
    def options(self, name: str = "kfn", **asked: str) -> BuildOptions:
        return app._options(name, app.Asked(**{"tag": "1.2", **asked}), BuildOptions(store=None))

    def test_each_has_its_name_below_the_registry(self) -> None:
        made = self.options("kfn-nats", registry="registry.example:5000/team/")
        assert (made.tags, made.push, made.dry_run) == (("registry.example:5000/team/kfn-nats:1.2",), True, False)

    def test_without_a_place_nothing_leaves_but_the_digest_is_that_of_what_would(self) -> None:
        made = self.options()
        assert made.leaves
        assert made.dry_run

    @pytest.mark.parametrize(
        ("output", "becomes"),
        [("oci:out", "oci:out"), ("oci-archive:out", "oci-archive:out/kfn.tar"), ("docker-archive:a/b", "docker-archive:a/b/kfn.tar")],
        ids=["one layout for all", "an archive for each", "in the folder that was named"],
    )
    def test_an_output_is(self, output: str, becomes: str) -> None:
        made = self.options(output=output)
        assert (made.outputs, made.push, made.dry_run) == ((becomes,), False, False)

    async def test_a_name_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(UsageError, match="there are kfn, kfn-builder, kfn-nats"):
            await app.images(app.Asked(names=("nats",)), BuildOptions(store=None), lambda name, step: None)
