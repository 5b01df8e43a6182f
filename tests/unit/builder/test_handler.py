"""Which handler is taken, and what is said when there is none."""

import pytest

from builder.errors import HandlerNotFound
from builder.python.compiling import Failure, Module
from builder.python.handler import choose
from builder.python.imports import preload


def module(*own: str, handlers: tuple[str, ...] = (), star: bool = False) -> Module:
    return Module(own, handlers, own, star, ())


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ({"func.py": module("handle", "other")}, "func:handle"),
        ({"main.py": module("app"), "other.py": module("handle")}, "main:app"),
        ({"function/__init__.py": module("new")}, "function:new"),
        ({"func.py": module("Model", handlers=("Model",))}, "func:Model"),
        ({"func.py": module(), "main.py": module("handle")}, "main:handle"),
    ],
)
def test_the_first_known_name_in_the_first_known_file_is_taken(modules: dict[str, Module], found: str) -> None:
    assert choose("", modules) == found


def test_a_named_handler_may_be_anywhere() -> None:
    modules = {"pkg/web/api.py": module("serve"), "pkg/star.py": module(star=True), "pkg/__init__.py": module("x")}
    assert choose("pkg.web.api:serve", modules) == "pkg.web.api:serve"
    assert choose("pkg.star:anything", modules) == "pkg.star:anything"
    assert choose("pkg:x", modules) == "pkg:x"


@pytest.mark.parametrize(
    ("wanted", "modules", "said"),
    [
        ("", {"func.py": module("handel")}, "Rename handel in func.py, or write `kfn: {handler: func:handel}` in func.yaml"),
        ("", {"func.py": module("zzz")}, "Add `def handle(request): return 'hello'` to func.py"),
        ("", {"lib/x.py": module("a")}, "lib/x.py: a"),
        ("", {}, "there are no Python files"),
        ("app:serve", {"app.py": module("server", "other")}, "it defines server, other; did you mean `handler: app:server`"),
        ("app:zzz", {"app.py": module("q", "handle")}, "did you mean `handler: app:handle`"),
        (
            "ap:handle",
            {"app.py": module("handle")},
            "needs ap.py or ap/__init__.py, and neither is there; did you mean `handler: app:handle`?",
        ),
    ],
)
def test_a_missing_handler_is_told_with_names_looked_for_names_found_and_a_fix(wanted: str, modules: dict[str, Module], said: str) -> None:
    with pytest.raises(HandlerNotFound) as error:
        choose(wanted, modules)
    assert said in str(error.value)
    assert error.value.exit_code == 3


def test_a_syntax_error_is_shown_with_a_caret_under_the_right_column() -> None:
    assert str(Failure("a.py", 3, 9, "        retrn 1", "invalid syntax")) == "a.py:3:9: invalid syntax\n    retrn 1\n    ^"


class TestPreload:
    INSTALLED = frozenset({"numpy", "torch", "unused"})

    def test_only_installed_packages_that_the_handler_reaches_are_preloaded(self) -> None:
        imports = {
            "func.py": ["os", "numpy.linalg", "model", "model.load", "pkg.a"],
            "model.py": ["torch", "torch.nn"],
            "pkg/__init__.py": ["json"],
            "pkg/a.py": ["func"],
            "tests.py": ["unused"],
        }
        assert preload("func:handle", imports, self.INSTALLED) == ("numpy", "torch")

    def test_the_sources_own_module_of_the_same_name_wins(self) -> None:
        assert preload("func:handle", {"func.py": ["numpy"], "numpy.py": []}, self.INSTALLED) == ()
        assert preload("func:handle", {"func.py": ["numpy.x"], "numpy/x.py": []}, self.INSTALLED) == ()
