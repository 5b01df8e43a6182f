"""Ignore patterns, one by one. That they mean what git means is tested against git (integration/builder/test_ignore.py)."""

import pytest

from builder.sources.ignore import Rules, Verdict
from builder.sources.leftout import LeftOut, handler, large, modules
from builder.sources.names import warnings
from builder.sources.patterns import patterns, split
from builder.sources.secrets import MAX_BYTES, kind

KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"MIIEowIBAAKCAQEA" * 4 + b"\n-----END RSA PRIVATE KEY-----\n"


def rules(git: str = "", func: str = "", kfn: str = "") -> Rules:
    return Rules().within(patterns(git.split()), patterns(func.split()), patterns(kfn.split()))


def judged(rules: Rules, path: str) -> Verdict:
    folder, path = path.endswith("/"), path.removesuffix("/")
    return rules.judge(path, path.rpartition("/")[2], folder)


class TestWhoWins:
    @pytest.mark.parametrize(
        ("git", "func", "kfn", "path", "verdict"),
        [
            pytest.param("dist/", "", "", "dist/", Verdict.GIT, id="a gitignore leaves out"),
            pytest.param("dist/", "", "!dist/", "dist/", Verdict.IN, id="kfnignore brings back what a gitignore left out"),
            pytest.param("", "*.csv", "!a.csv", "a.csv", Verdict.IN, id="kfnignore wins over funcignore"),
            pytest.param("!debug.log", "", "", "debug.log", Verdict.DEFAULT, id="a gitignore brings nothing of the defaults back"),
            pytest.param("", "", "!debug.log", "debug.log", Verdict.IN, id="kfnignore does"),
            pytest.param("!.env", "", "", ".env", Verdict.SECRET, id="a gitignore brings no secret back"),
            pytest.param("", "", "!.env", ".env", Verdict.ASKED, id="kfnignore does, and that is told"),
            pytest.param("", "", "* !*/ !*.py", ".git/", Verdict.DEFAULT, id="an allow list does not bring back a repository"),
            pytest.param("", "", ".env", ".env", Verdict.OWN, id="a secret that the author leaves out needs no warning"),
        ],
    )
    def test_is(self, git: str, func: str, kfn: str, path: str, verdict: Verdict) -> None:
        assert judged(rules(git, func, kfn), path) is verdict

    def test_the_deeper_file_wins(self) -> None:
        inner = rules(kfn="*.bin").within(None, None, patterns(["!keep.bin"], "models/"))
        assert judged(inner, "models/keep.bin") is Verdict.IN
        assert judged(inner, "models/other.bin") is Verdict.OWN


def test_a_pattern_of_many_stars_is_judged_at_once() -> None:
    found = patterns(["*a" * 60 + "b", "/" + "**/x*y*" * 20 + "z", "[a-z]*" * 40 + "1"])
    assert found.decide("a" * 250, "a" * 250, False) is None
    assert found.decide("/".join("xy" * 100), "y", False) is None


def test_lines_are_read_with_any_end_and_a_byte_order_mark() -> None:
    assert split(b"\xef\xbb\xbfa\r\nb\n\xff") == ["a", "b", "\udcff"]


class TestSecretsByContent:
    @pytest.mark.parametrize(
        ("path", "data", "said"),
        [
            ("deploy", KEY, "a private key"),
            ("x.json", b'{"type": "service_account", "private_key": "x"}', "a service account's key"),
            ("x.json", b'{"k": "' + KEY.replace(b"\n", b"\\n") + b'"}', "a private key"),
            ("settings.py", b"KEY = 'AKIA" + b"ABCDEFGHIJKLMNOP" + b"'", "an AWS access key"),
            (".npmrc", b"//registry.example/:_authToken=abcdef\n", "a token for a package index"),
            (".npmrc", b"//registry.example/:_authToken=${NPM_TOKEN}\n# _auth=x\n", ""),
            ("docs.md", b"A file with -----BEGIN PRIVATE KEY----- in it is a key.", ""),
            ("docs.md", b"AKIAIOSFODNN7EXAMPLE", ""),
            ("large.pem", KEY + b" " * MAX_BYTES, ""),
            ("func.py", b"def handle(request): ...", ""),
        ],
    )
    def test_is(self, path: str, data: bytes, said: str) -> None:
        assert kind(path, data) == said


class TestNames:
    def test_that_differ_only_in_case_or_accents_are_told(self) -> None:
        assert "README.md and readme.md" in warnings(["README.md", "a/x", "readme.md"])[0]
        assert "one file on macOS" in warnings(["caf\u00e9", "cafe\u0301"])[0]
        assert "A and a" in warnings(["A/x", "a/y"])[0]

    @pytest.mark.parametrize("path", ["aux.py", "a/NUL", "com1.txt/x", "a:b", "back\\slash", "dot.", "x "])
    def test_that_windows_cannot_have_are_told(self, path: str) -> None:
        assert "Windows" in warnings([path])[0]

    def test_of_an_ordinary_source_are_not(self) -> None:
        assert warnings(["func.py", "console.py", "a/auxiliary.py", "naïve.txt", ".env.example"]) == []


class TestWhatAGitignoreKeepsOut:
    OUT = (
        LeftOut("dist/", 30_000_000),
        LeftOut("model.py", 10),
        LeftOut("notes.txt", 100),
        LeftOut("pkg/gen.py", 5),
        LeftOut("w.bin", 10**9),
    )

    def test_is_told_if_it_is_large(self) -> None:
        (told,) = large(self.OUT)
        assert "w.bin (1000 MB), dist/ (30 MB or more)" in told
        assert "write !w.bin in .kfnignore" in told
        assert large(self.OUT[1:4]) == []

    def test_is_told_if_the_source_imports_it(self) -> None:
        told = modules(self.OUT, {"func.py": ["os", "model", "pkg.gen"], "other.py": ["model"]})
        assert len(told) == 2
        assert told[0].startswith("func.py imports model.py")
        assert "!pkg/gen.py" in told[1]

    def test_is_told_if_the_handler_is_looked_for_there(self) -> None:
        assert "!model.py" in handler(self.OUT, ["func.py", "model.py"])
        assert "!dist/" in handler(self.OUT, ["dist/app.py"])
        assert handler(self.OUT, ["func.py"]) == ""
