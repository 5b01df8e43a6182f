"""Git URLs: what is read, what is refused before git or ssh is started, and what git's words become."""

import pytest

from builder.errors import BuildError, GitError, GitRefused, GitUnreachable, UsageError
from builder.sources.giturl import hidden, is_git, parse
from builder.sources.gitwords import clean, explain, no_ref


class TestReading:
    @pytest.mark.parametrize(
        ("text", "url", "ref", "folder", "name"),
        [
            ("https://git.example/team/f.git", "https://git.example/team/f.git", "", "", "f"),
            ("https://git.example:8443/f.git#main", "https://git.example:8443/f.git", "main", "", "f"),
            ("https://git.example/f.git#v1.2:a/./b/", "https://git.example/f.git", "v1.2", "a/b", "b"),
            ("https://git.example/f#:hello", "https://git.example/f", "", "hello", "hello"),
            ("https://alice:pw@git.example/f.git", "https://git.example/f.git", "", "", "f"),
            ("ssh://git@git.example:2222/f.git", "ssh://git@git.example:2222/f.git", "", "", "f"),
            ("git@git.example:team/f.git#feature/x", "git@git.example:team/f.git", "feature/x", "", "f"),
            ("git://git.example/f.git", "git://git.example/f.git", "", "", "f"),
            ("http://127.0.0.1:3000/f.git", "http://127.0.0.1:3000/f.git", "", "", "f"),
            ("http://[::1]:3000/f.git", "http://[::1]:3000/f.git", "", "", "f"),
        ],
    )
    def test_of(self, text: str, url: str, ref: str, folder: str, name: str) -> None:
        found = parse(text)
        assert (found.url, found.ref, found.folder, found.name) == (url, ref, folder, name)
        assert is_git(text)

    @pytest.mark.parametrize("text", [".", "folder", "./a:b", "/abs/path", "a/b.git", "C:/x"])
    def test_a_path_is_no_url(self, text: str) -> None:
        assert not is_git(text)

    def test_shows_no_user_and_no_password(self) -> None:
        found = parse("https://t0ken:s3cret@git.example/f.git#main")
        assert found.password
        assert found.password.text == "s3cret"
        for text in (str(found), repr(found), found.url):
            assert "s3cret" not in text
            assert "t0ken" not in text
        assert (
            hidden("cannot read https://a:b@c.example/x and ssh://git@d.example") == "cannot read https://c.example/x and ssh://d.example"
        )


class TestRefusing:
    @pytest.mark.parametrize(
        "text",
        [
            "file:///etc", "ext::sh -c id", "ext::id", "fd::17", "-oProxyCommand=id", "--upload-pack=id", "ssh://-oProxyCommand=id/x",
            "git@-oProxy:x", "git@host:-x", "https://git.example/-x", "https://git.example", "https:///x", "ftp://git.example/x",
            "http://git.example/x", "https://git.example/x\n", "https://git.example/a b", "https://git.example:x/y", "https://ho_st!/x",
            "https://git.example/x#-x", "https://git.example/x#a..b", "https://git.example/x#a@{1}", "https://git.example/x#a:../b",
            "https://git.example/x#a:/b", "https://git.example/x#a:.git/hooks", "https://git.example/x#a^", "ssh://-x@git.example/y",
        ],
    )  # fmt: skip
    def test_of(self, text: str) -> None:
        assert is_git(text)
        with pytest.raises(UsageError) as error:
            parse(text)
        assert error.value.exit_code == 2

    def test_never_shows_what_was_secret(self) -> None:
        with pytest.raises(UsageError) as error:
            parse("http://alice:s3cret@git.example/x")
        assert "s3cret" not in str(error.value)
        assert "--git-http git.example" in str(error.value)

    def test_a_listed_host_may_be_read_without_tls(self) -> None:
        assert parse("http://git.example:3000/x", ("git.example:3000",)).host == "git.example"


class TestGitsWords:
    URL = parse("https://alice:s3cret@git.example/f.git#mian")

    @pytest.mark.parametrize(
        ("said", "kind", "words"),
        [
            ("fatal: couldn't find remote ref mian", GitError, "did you mean main"),
            ("fatal: could not read Username for 'https://git.example': terminal prompts disabled", GitRefused, "credential helper"),
            ("fatal: Authentication failed for 'https://alice:s3cret@git.example/f.git'", GitRefused, "private"),
            ("remote: Repository not found.\nfatal: repository 'x' not found", GitError, "no such repository"),
            ("fatal: unable to access 'x': Could not resolve host: git.example", GitUnreachable, "resolve"),
            ("fatal: unable to access 'x': The requested URL returned error: 503", GitUnreachable, "503"),
            ("fatal: unable to access 'x': SSL certificate problem: self-signed certificate", GitUnreachable, "GIT_SSL_CAINFO"),
            ("Host key verification failed.\nfatal: Could not read from remote repository.", GitRefused, "connect once with ssh"),
            ("fatal: something else", GitError, "something else"),
        ],
    )
    def test_become(self, said: str, kind: type[BuildError], words: str) -> None:
        cleaned = clean(said, self.URL)
        error = explain(cleaned, self.URL, ("main", "v1") if no_ref(cleaned) else ())
        assert type(error) is kind
        assert words in str(error)
        assert "s3cret" not in str(error)
