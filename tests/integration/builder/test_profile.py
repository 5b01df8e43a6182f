"""The import profile of real handlers, by real interpreters."""

import pytest

from builder.errors import BudgetExceeded, ProjectInvalid
from builder.options import BuildResult
from builder.profile.app import ARTIFACT, read
from builder.profile.report import Profile
from tests.integration.builder.conftest import Workshop

SLOW = "import time\ntime.sleep(0.25)\n"


def said(workshop: Workshop) -> str:
    return next(step.detail for step in workshop.steps if step.name == "profile")


def attached(workshop: Workshop, result: BuildResult) -> Profile:
    data = workshop.store.attached(result.digest, ARTIFACT)
    assert data is not None
    return read(data)


class TestTheProfileOfAStart:
    async def test_names_the_module_that_takes_the_time_and_stays_with_the_image(self, workshop: Workshop) -> None:
        source = workshop.source(func_py="import slow.part\ndef handle(request):\n    return 1\n", slow__part_py=SLOW, slow____init___py="")
        result = await workshop.build(source)
        found = attached(workshop, result)
        (func,) = found.tree
        assert func.name == "func"
        assert max(func.walk(), key=lambda one: one.own).name == "slow.part"
        assert found.handler >= 250_000

    async def test_does_not_change_the_image(self, workshop: Workshop) -> None:
        source = workshop.source()
        with_it = await workshop.build(source)
        without = await workshop.build(source, profile=False)
        assert with_it.digest == without.digest

    async def test_is_remembered_while_the_source_imports_the_same(self, workshop: Workshop) -> None:
        source = workshop.source()
        await workshop.build(source)
        (source / "func.py").write_text("def handle(request):\n    return 'other'\n")
        await workshop.build(source)
        assert next(step for step in workshop.steps if step.name == "profile").cached
        (source / "func.py").write_text("import decimal\ndef handle(request):\n    return 'other'\n")
        await workshop.build(source)
        assert not next(step for step in workshop.steps if step.name == "profile").cached

    async def test_ends_with_its_image(self, workshop: Workshop) -> None:
        result = await workshop.build(workshop.source())
        workshop.store.remove(result.reference)
        assert workshop.store.attached(result.digest, ARTIFACT) is None
        workshop.store.gc()
        assert list((workshop.root / "images/blobs/sha256").iterdir()) == []

    async def test_has_none_of_the_builders_own_packages(self, workshop: Workshop) -> None:
        await workshop.build(workshop.source(func_py="import msgspec\ndef handle(request):\n    return 1\n"))
        assert "could not be imported here: ModuleNotFoundError: No module named 'msgspec' (func.py:1)" in said(workshop)


class TestAHandlerThatMisbehavesWhenImported:
    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("import os\nos.environ['DATABASE']\n", "KeyError: 'DATABASE' (func.py:2)"),
            ("import sys\nsys.exit(3)\n", "SystemExit: 3 (func.py:2)"),
            ("import os\nos._exit(7)\n", "the interpreter ended"),
            ("import os\n[os.write(n, b'x') for n in range(1, 30) if os.path.exists(f'/proc/self/fd/{n}')]\n", "wrote over the answer"),
            (
                "import os\n[os.write(n, b'{}\\n') for n in range(1, 30) if os.path.exists(f'/proc/self/fd/{n}')]\nos._exit(0)\n",
                "wrote over the answer",
            ),
            ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "the interpreter ended"),
        ],
    )
    async def test_is_built_all_the_same(self, workshop: Workshop, code: str, why: str) -> None:
        result = await workshop.build(workshop.source(func_py=f"{code}def handle(request):\n    return 1\n"))
        assert why in said(workshop)
        assert workshop.image(result).digest == result.digest

    async def test_what_it_prints_and_forges_is_not_the_answer(self, workshop: Workshop) -> None:
        code = "import sys\nprint('{}')\nsys.stderr.write('import time:  9 |  9 | forged\\n')\ndef handle(request):\n    return 1\n"
        result = await workshop.build(workshop.source(func_py=code))
        assert attached(workshop, result).handler > 0

    async def test_a_thread_that_it_leaves_behind_ends_with_it(self, workshop: Workshop) -> None:
        code = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\ndef handle(request):\n    return 1\n"
        await workshop.build(workshop.source(func_py=code))
        assert "start takes" in said(workshop) or "of your" in said(workshop)


class TestABudget:
    YAML = "kfn: {coldStart: 1ms}\n"

    async def test_that_is_exceeded_warns(self, workshop: Workshop) -> None:
        result = await workshop.build(workshop.source(**{"func.py": f"{SLOW}def handle(request):\n    return 1\n", "func.yaml": self.YAML}))
        assert any("kfn.coldStart allows 1 ms" in warning for warning in result.warnings)

    async def test_fails_a_strict_build_before_anything_is_written(self, workshop: Workshop) -> None:
        source = workshop.source(**{"func.py": "def handle(request):\n    return 1\n", "func.yaml": self.YAML})
        with pytest.raises(BudgetExceeded, match=r"kfn\.coldStart allows 1 ms") as error:
            await workshop.build(source, strict=True)
        assert error.value.exit_code == 3
        assert workshop.store.references() == ()

    async def test_that_is_no_time_names_its_line(self, workshop: Workshop) -> None:
        source = workshop.source(**{"func.py": "def handle(request):\n    return 1\n", "func.yaml": "kfn:\n  coldStart: soon\n"})
        with pytest.raises(ProjectInvalid, match=r"func\.yaml:2: kfn\.coldStart: 'soon' must be a time such as 150ms"):
            await workshop.build(source)
