"""`kfn build --explain` and `kfn cache`, from builds that really ran."""

import json

import pytest
from click.testing import CliRunner

from cli import cache
from tests.integration.builder.conftest import HANDLER, Workshop


class TestExplain:
    async def test_names_the_file_that_changed(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, other_py="x = 1\n")
        first = await workshop.build(source)
        assert "no earlier build" in first.changes[0]
        workshop.write(source / "other.py", "x = 2\n")
        assert (await workshop.build(source)).changes == ("source: files: other.py changed",)
        assert (await workshop.build(source)).changes == ("nothing that a layer depends on changed since the last build",)

    async def test_a_damaged_note_counts_as_none(self, workshop: Workshop) -> None:
        source = workshop.source()
        await workshop.build(source)
        for file in (workshop.root / "cache/projects").iterdir():
            file.write_text("[]")
        assert "no earlier build" in (await workshop.build(source)).changes[0]


class TestTheCommand:
    def run(self, *argv: str) -> str:
        ended = CliRunner().invoke(cache.command, argv, catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.output

    async def test_lists_what_is_kept_and_what_for_and_empties_it(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(workshop.root))
        (workshop.root / "cache").rename(workshop.root / "kfn")
        await workshop.build(workshop.source(), cache=workshop.root / "kfn")
        listed = json.loads(self.run("ls", "-o", "json"))
        assert {"runtime", "source: func:handle"} <= {entry["for"] for entry in listed["entries"]}
        assert listed["size"] == sum(entry["size"] for entry in listed["entries"]) > 0
        assert "KIND" in self.run("ls")
        assert "removed 0 entries" in self.run("prune")
        assert "0 B left" in self.run("rm")
        assert json.loads(self.run("ls", "-o", "json"))["entries"] == []
