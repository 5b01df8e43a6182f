"""Where a handler is looked for, and what is found."""

import pytest

from kfn.function import detect


def find(**files: str) -> str | None:
    named = {name.replace("__", "/").replace("_py", ".py"): text for name, text in files.items()}
    return detect.find(named.get)


class TestFind:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("def handle(request): pass", "func:handle"),
            ("async def handle(request): pass", "func:handle"),
            ("app = Flask(__name__)", "func:app"),
            ("app: FastAPI = FastAPI()", "func:app"),
            ("from other import app", "func:app"),
            ("from other import thing as handler", "func:handler"),
            ("def new(): pass\nclass Function:\n    async def handle(self, scope, receive, send): pass", "func:new"),
            ("class Model:\n    def load(self): pass\n    def handle(self, request): pass", "func:Model"),
            ("try:\n    from fast import handle\nexcept ImportError:\n    def handle(r): pass", "func:handle"),
            ("def hello(request): pass", None),
            ("class Model:\n    def predict(self): pass", None),
            ("if __name__ == '__main__':\n    app = 1", None),
            ("", None),
        ],
    )
    def test_the_best_name_in_a_file_is_taken(self, text: str, expected: str | None) -> None:
        assert find(func_py=text) == expected

    def test_a_name_that_says_handler_wins_over_one_that_may_be_something_else(self) -> None:
        assert find(func_py="def main(): pass\napp = 1\ndef handle(request): pass") == "func:handle"

    def test_the_next_file_is_looked_at_when_the_first_has_none(self) -> None:
        assert find(func_py="x = 1", main_py="def handle(r): pass") == "main:handle"

    def test_func_py_comes_first(self) -> None:
        assert find(app_py="app = 1", func_py="def handle(r): pass") == "func:handle"

    def test_knatives_package_is_found(self) -> None:
        assert detect.find({"function/__init__.py": "from .func import new"}.get) == "function:new"

    def test_a_syntax_error_names_its_file(self) -> None:
        with pytest.raises(SyntaxError) as raised:
            find(func_py="def handle(:")
        assert raised.value.filename == "func.py"


def test_the_message_for_a_missing_handler_says_what_there_is() -> None:
    said = detect.explain("func:handle", "/func/func.py", ("hello", "main"))
    assert said.startswith("handler `func:handle` not found in /func/func.py; it defines: hello, main. Set KFN_HANDLER")
