"""Sources from git: a real git server on loopback, open, private, missing or hostile."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.app import build
from builder.errors import BadEntry, ForeignSource, GitError, GitRefused, GitUnreachable, ProjectInvalid, SourceTooLarge
from builder.options import BuildOptions
from builder.sources import giturl, local, tree
from builder.sources.git import checkout
from builder.sources.origin import Origin
from builder.sources.source import read_source
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.integration.builder.git_server import PASSWORD, USER, GitServer, git, serving
from tests.integration.builder.test_private_index import wheel

BLOB = b"\xe6\x9d\xe2\x9b\xb2\xd1\xd6\x43\x4b\x8b\x29\xae\x77\x5a\xd8\xc2\xe4\x8c\x53\x91"  # of the empty file


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "served") as found:
        yield found


async def fetched(tmp_path: Path, url: str, **options: Any) -> tuple[dict[str, str], Origin, tuple[str, ...]]:
    """Path to content, or `-> target` of a link; and what is known of it."""
    given = BuildOptions(store=None, cache=tmp_path / "cache", **options)
    async with checkout(giturl.parse(url), given) as found:
        files = {}
        for path in sorted(found.path.rglob("*")):
            if path.is_symlink():
                files[path.relative_to(found.path).as_posix()] = f"-> {os.readlink(path)}"
            elif path.is_file():
                files[path.relative_to(found.path).as_posix()] = path.read_text()
    assert not list((tmp_path / "cache" / "tmp").iterdir()), "nothing stays behind"
    return files, found.origin, found.warnings


class TestARepository:
    async def test_comes_as_its_files_with_the_commit_that_they_are_of(self, server: GitServer, tmp_path: Path) -> None:
        content = {".gitattributes": "* text eol=crlf ident\n", "a/b.txt": "b", "func.py": "x $Id$\n", "link": "-> a/b.txt"}
        work = server.repository(files=content)
        files, origin, warnings = await fetched(tmp_path, server.url())
        assert files == content, "byte for byte as they were committed"
        assert origin == Origin(server.url(), git("rev-parse", "HEAD", at=work))
        assert warnings == ()

    async def test_comes_at_a_branch_a_tag_or_a_commit_and_only_one_folder_of_it(self, server: GitServer, tmp_path: Path) -> None:
        work = server.repository(files={"one/func.py": "1", "two/func.py": "2"})
        first = git("rev-parse", "HEAD", at=work)
        git("tag", "v1", at=work)
        git("checkout", "-q", "-b", "feature/x", at=work)
        server.commit(work, {"one/func.py": "changed"})
        server.push(work, "feature/x", "v1")
        for ref, content in (("feature/x", "changed"), ("v1", "1"), (first, "1")):
            files, origin, _ = await fetched(tmp_path, f"{server.url()}#{ref}:one")
            assert files == {"func.py": content}
            assert (origin.ref, origin.folder) == (ref, "one")
        assert origin.commit == first

    async def test_fetches_only_what_the_folder_holds(self, server: GitServer, tmp_path: Path) -> None:
        server.repository(files={"small/func.py": "1", "large/data": "x" * 3_000_000})
        files, _, _ = await fetched(tmp_path, f"{server.url()}#main:small", max_source_bytes=1_000_000)
        assert files == {"func.py": "1"}
        with pytest.raises(SourceTooLarge, match="large/data"):
            await fetched(tmp_path, server.url(), max_source_bytes=1_000_000)

    async def test_with_too_many_files_is_refused_before_they_come(self, server: GitServer, tmp_path: Path) -> None:
        server.repository(files={f"{n}.txt": str(n) for n in range(30)})
        with pytest.raises(SourceTooLarge, match="30 files, 20 are allowed"):
            await fetched(tmp_path, server.url(), max_source_files=20)

    async def test_from_a_server_that_cannot_leave_blobs_out_comes_all_the_same(self, server: GitServer, tmp_path: Path) -> None:
        server.repository()
        for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
            git("config", setting, "false", at=server.root / "hello.git")
        files, _, _ = await fetched(tmp_path, server.url())
        assert list(files) == ["func.py"]


class TestWhatDoesNotCome:
    async def test_submodules_and_large_file_pointers_are_named(self, server: GitServer, tmp_path: Path) -> None:
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n"
        work = server.repository(files={"func.py": "1", "model.bin": pointer})
        git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib", at=work)
        git("commit", "-q", "-m", "x", at=work)
        server.push(work, "main")
        files, _, warnings = await fetched(tmp_path, server.url())
        assert files["model.bin"] == pointer
        assert "vendor/lib" in warnings[0]
        assert "submodules" in warnings[0]
        assert "model.bin" in warnings[1]
        assert "LFS" in warnings[1]

    async def test_a_missing_repository_ref_or_folder_is_said(self, server: GitServer, tmp_path: Path) -> None:
        server.repository(files={"hello/func.py": "1"})
        with pytest.raises(GitError, match="no such repository"):
            await fetched(tmp_path, server.url("nothing"))
        with pytest.raises(GitError, match="no branch, tag or commit 'mian'; did you mean main"):
            await fetched(tmp_path, f"{server.url()}#mian")
        with pytest.raises(GitError, match="all its 40 digits"):
            await fetched(tmp_path, f"{server.url()}#abcdef1")
        with pytest.raises(GitError, match="no folder 'helo' in it; there are hello"):
            await fetched(tmp_path, f"{server.url()}#main:helo")

    async def test_an_empty_repository_is_said(self, server: GitServer, tmp_path: Path) -> None:
        git("init", "-q", "--bare", str(server.root / "empty.git"), at=server.root)
        with pytest.raises(GitError, match="no commit yet"):
            await fetched(tmp_path, server.url("empty"))

    async def test_a_server_that_is_not_there_may_be_tried_again(self, tmp_path: Path) -> None:
        with pytest.raises(GitUnreachable) as error:
            await fetched(tmp_path, "http://127.0.0.1:1/x.git")
        assert error.value.exit_code == 75


class TestAPrivateRepository:
    async def test_is_refused_without_asking_anybody(self, server: GitServer, tmp_path: Path) -> None:
        server.repository("private")
        with pytest.raises(GitRefused, match="credential helper") as error:
            await fetched(tmp_path, server.url("private"))
        assert error.value.exit_code == 4

    async def test_takes_the_password_of_the_url_and_shows_it_nowhere(self, server: GitServer, tmp_path: Path) -> None:
        server.repository("private")
        files, origin, warnings = await fetched(tmp_path, server.url("private", who=f"{USER}:{PASSWORD}@"))
        assert list(files) == ["func.py"]
        assert PASSWORD not in f"{origin} {warnings}"
        assert USER not in str(origin)
        assert "credential helper" in warnings[0]

    async def test_a_wrong_password_is_refused_and_not_shown(self, server: GitServer, tmp_path: Path) -> None:
        server.repository("private")
        with pytest.raises(GitRefused) as error:
            await fetched(tmp_path, server.url("private", who=f"{USER}:wr0ng-one@"))
        assert "wr0ng-one" not in str(error.value)
        assert USER not in str(error.value)

    async def test_is_read_by_the_users_own_helper(self, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.repository("private")
        (tmp_path / "ask").write_text(f"#!/bin/sh\ncase $1 in User*) echo {USER};; *) echo {PASSWORD};; esac\n")
        (tmp_path / "ask").chmod(0o755)
        monkeypatch.setenv("GIT_ASKPASS", str(tmp_path / "ask"))
        files, _, _ = await fetched(tmp_path, server.url("private"))
        assert list(files) == ["func.py"]


class TestAHostileRepository:
    @pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b".", b"a/../../b"])
    async def test_cannot_have_an_entry_that_leads_elsewhere(self, server: GitServer, tmp_path: Path, name: bytes) -> None:
        server.hostile("evil", b"100644 " + name + b"\0" + BLOB)
        git("hash-object", "-w", "-t", "blob", "--stdin", at=server.root / "evil.git")
        with pytest.raises(GitError):
            await fetched(tmp_path, server.url("evil"))
        assert not (tmp_path / "b").exists()

    async def test_cannot_write_through_its_own_link(self, server: GitServer, tmp_path: Path) -> None:
        """The tree has `a` twice: as a link out of the folder, and as a folder with a file in it."""
        work = server.repository("evil", {"x/file": ""})
        bare = server.root / "evil.git"
        target = git("hash-object", "-w", "--stdin", at=bare, stdin=str(tmp_path).encode())
        inner = git("rev-parse", "HEAD:x", at=work)
        server.hostile("evil2", b"")
        git("fetch", "-q", str(bare), "main", at=server.root / "evil2.git")
        git("hash-object", "-w", "--stdin", at=server.root / "evil2.git", stdin=str(tmp_path).encode())
        raw = b"120000 a\0" + bytes.fromhex(target) + b"40000 a\0" + bytes.fromhex(inner)
        other = server.root / "evil2.git"
        tree = git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", at=other, stdin=raw)
        git("update-ref", "refs/heads/main", git("commit-tree", "-m", "x", tree, at=other), at=other)
        with pytest.raises(GitError):
            await fetched(tmp_path, server.url("evil2"))
        assert not (tmp_path / "file").exists()

    async def test_a_link_out_of_it_is_refused_when_the_source_is_read(self, server: GitServer, tmp_path: Path) -> None:
        server.repository(files={"func.py": "1", "passwd": "-> /etc/passwd"})
        options = BuildOptions(store=None, cache=tmp_path / "cache")
        async with checkout(giturl.parse(server.url()), options) as found:
            with pytest.raises(BadEntry, match="passwd is a link to /etc/passwd"):
                read_source(found.path, 10**6, 100, 10**6)

    async def test_no_hook_filter_or_attribute_of_anybody_runs(
        self, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran = tmp_path / "ran"
        (tmp_path / "hooks").mkdir()
        for name in ("post-checkout", "reference-transaction", "post-merge"):
            (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
            (tmp_path / "hooks" / name).chmod(0o755)
        config = tmp_path / "gitconfig"
        config.write_text(f'[core]\n\thooksPath = {tmp_path}/hooks\n\tautocrlf = true\n[filter "x"]\n\tsmudge = touch {ran}; cat\n')
        server.repository(files={".gitattributes": "*.py filter=x\n", "func.py": "a\nb\n"})
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
        files, _, _ = await fetched(tmp_path, server.url())
        assert files["func.py"] == "a\nb\n"
        assert not ran.exists()


class TestAFolderInACheckout:
    async def test_is_told_with_its_commit_branch_remote_and_whether_it_changed(self, server: GitServer, tmp_path: Path) -> None:
        work = server.repository(files={"hello/func.py": "1", "other.txt": "2"})
        git("remote", "add", "origin", f"https://{USER}:{PASSWORD}@example.com/x.git", at=work)
        commit = git("rev-parse", "HEAD", at=work)
        clean = await local.find(work / "hello", tmp_path / "cache")
        assert clean == Origin("https://example.com/x.git", commit, "main", "hello", dirty=False)
        (work / "other.txt").write_text("changed elsewhere")
        assert await local.find(work / "hello", tmp_path / "cache") == clean
        (work / "hello/func.py").write_text("changed")
        assert (await local.find(work / "hello", tmp_path / "cache")).dirty
        git("checkout", "-q", "hello/func.py", at=work)
        (work / "hello/new.py").write_text("new")
        assert (await local.find(work / "hello", tmp_path / "cache")).dirty

    async def test_is_found_in_packed_refs_and_in_a_second_working_tree(self, server: GitServer, tmp_path: Path) -> None:
        work = server.repository()
        git("pack-refs", "--all", at=work)
        commit = git("rev-parse", "HEAD", at=work)
        assert (await local.find(work, tmp_path / "cache")).commit == commit
        git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), at=work)
        assert await local.find(tmp_path / "side", tmp_path / "cache") == Origin("", commit, "side")

    async def test_runs_nothing_that_its_configuration_names(self, server: GitServer, tmp_path: Path) -> None:
        work = server.repository(files={"func.py": "1", ".gitattributes": "*.py filter=x\n"})
        ran = tmp_path / "ran"
        with (work / ".git/config").open("a") as config:
            config.write(
                f'[core]\n\tfsmonitor = touch {ran}\n[filter "x"]\n\tclean = touch {ran}; cat\n[diff "x"]\n\ttextconv = touch {ran}\n'
            )
        (work / "func.py").write_text("2")
        assert (await local.find(work, tmp_path / "cache")).dirty
        assert not ran.exists()
        subprocess.run(["git", "-C", str(work), "status"], capture_output=True, check=False)
        assert ran.exists(), "git itself would have run it"

    @pytest.mark.parametrize("head", ["", "ref: refs/heads/../../../x", "zzz", "ref: refs/heads/none"])
    async def test_a_damaged_checkout_is_told_as_none(self, server: GitServer, tmp_path: Path, head: str) -> None:
        work = server.repository()
        (work / ".git/HEAD").write_text(head)
        assert not await local.find(work, tmp_path / "cache")

    async def test_a_pipe_in_place_of_one_of_gits_files_does_not_make_a_build_wait(self, server: GitServer, tmp_path: Path) -> None:
        work = server.repository()
        (work / ".git/HEAD").unlink()
        os.mkfifo(work / ".git/HEAD")
        assert not await local.find(work, tmp_path / "cache")


class TestABuild:
    async def test_of_a_git_url_is_that_of_its_folder_and_says_the_commit(self, server: GitServer, workshop: Workshop) -> None:
        source = workshop.source("hello")
        work = server.repository("repo", {"hello/func.py": HANDLER})
        result = await workshop.build(giturl.parse(f"{server.url('repo')}#main:hello"))
        assert result.digest == (await workshop.build(source)).digest
        assert result.name == "hello"
        assert result.origin == Origin(server.url("repo"), git("rev-parse", "HEAD", at=work), "main", "hello")
        assert not result.warnings

    async def test_says_that_the_lock_it_made_is_lost(self, server: GitServer, workshop: Workshop) -> None:
        wheels = workshop.root / "wheels"
        wheels.mkdir()
        (wheels / "tinything-1.0-py3-none-any.whl").write_bytes(wheel())
        requirements = f"--no-index\n--find-links {wheels}\ntinything\n"
        server.repository("repo", {"func.py": HANDLER, "requirements.txt": requirements})
        result = await workshop.build(giturl.parse(server.url("repo")))
        assert any("kfn.lock made for this build alone" in warning for warning in result.warnings)


class TestTheHandlerOfARepository:
    async def test_is_imported_only_when_asked_for(self, server: GitServer, workshop: Workshop) -> None:
        server.repository(files={"func.py": HANDLER})
        where = giturl.parse(server.url())
        await build(where, BuildOptions(store=workshop.root / "images", cache=workshop.root / "cache"), workshop.steps.append)
        assert "profile" not in [step.name for step in workshop.steps]
        asked = BuildOptions(store=workshop.root / "images", cache=workshop.root / "cache", profile=True)
        await build(where, asked, workshop.steps.append)
        assert "profile" in [step.name for step in workshop.steps]


class TestATreeThatGitWouldLetThrough:
    """Behind git's own checks of what it fetches."""

    A, B = "a" * 40, "b" * 40

    @pytest.mark.parametrize("name", [b"..", b"a/../../b", b".git/config", b"a/.GIT/hooks/x", b"/etc/x", b"a//b", b"."])
    def test_has_no_name_that_leads_elsewhere(self, name: bytes) -> None:
        with pytest.raises(GitError, match="damaged, or an attack"):
            tree.parse(f"100644 blob {self.A}\t".encode() + name + b"\0")

    @pytest.mark.parametrize(
        "entries",
        [
            [("100644", A, "x"), ("100644", B, "x")],
            [("100644", A, "x"), ("100644", B, "x/y")],
            [("100644", A, "x/y"), ("100644", B, "x")],
            [("120000", A, "x"), ("100644", B, "x")],
            [("120000", A, "x"), ("100644", B, "x/y")],
            [("120000", A, "x/y"), ("120000", B, "x")],
        ],
    )
    def test_writes_nothing_over_or_through_another_entry(self, tmp_path: Path, entries: list[tuple[str, str, str]]) -> None:
        (tmp_path / "outside").mkdir()
        target = str(tmp_path / "outside").encode()
        content = tmp_path / "content"
        content.write_bytes(b"".join(f"{oid} blob {len(target)}\n".encode() + target + b"\n" for oid in (self.A, self.B)))
        with pytest.raises(GitError):
            tree.write(tmp_path / "into", [tree.Entry(*entry) for entry in entries], content)
        assert not list((tmp_path / "outside").iterdir())

    def test_of_a_blob_that_did_not_come_whole_is_refused(self, tmp_path: Path) -> None:
        content = tmp_path / "content"
        content.write_bytes(f"{self.A} blob 100\nabc".encode())
        with pytest.raises(GitError, match="did not come whole"):
            tree.write(tmp_path / "into", [tree.Entry("100644", self.A, "x")], content)


class TestASourceOfSomebodyElse:
    @pytest.mark.parametrize(
        ("yaml", "told", "allowed"),
        [
            ("kfn: {allowSdists: true}", "--allow-sdists", {"allow_sdists": True}),
            ("kfn: {allowScripts: true}", "allowScripts", None),
            ("kfn: {builder: dockerfile}", "--builder dockerfile", None),
            ("build: {buildEnvs: [{name: GOFLAGS, value: -toolexec=./x}]}", "GOFLAGS", None),
            ("kfn: {base: 'registry.example/evil:1'}", "--base registry.example/evil:1", {"base": "none"}),
        ],
    )
    async def test_decides_nothing_that_runs_code(
        self, server: GitServer, workshop: Workshop, yaml: str, told: str, allowed: dict[str, Any] | None
    ) -> None:
        server.repository(files={"func.py": HANDLER, "func.yaml": f"runtime: python\n{yaml}\n", "Dockerfile": "FROM scratch\n"})
        where, out = giturl.parse(server.url()), f"oci:{workshop.root / 'out'}"
        with pytest.raises(ForeignSource, match=told):
            await workshop.build(where, store=None, outputs=(out,), base="")
        if allowed:
            await workshop.build(where, store=None, outputs=(out,), **allowed)

    @pytest.mark.parametrize("yaml", ["image: 127.0.0.1:9/prod/app:1", "registry: 127.0.0.1:9/prod"])
    async def test_does_not_choose_whose_image_it_replaces(self, server: GitServer, workshop: Workshop, yaml: str) -> None:
        server.repository(files={"func.py": HANDLER, "func.yaml": f"runtime: python\n{yaml}\n"})
        with pytest.raises(ForeignSource, match=r"as where to push, with your login.*with -t"):
            await workshop.build(giturl.parse(server.url()), store=None, push=True)

    async def test_may_not_read_a_file_of_this_machine_by_a_link_that_the_ignore_rules_leave_out(
        self, server: GitServer, workshop: Workshop
    ) -> None:
        (workshop.root / "secret").write_text("hunter2\n")
        server.repository(
            files={"func.py": HANDLER, "requirements.txt": f"-> {workshop.root / 'secret'}", ".kfnignore": "requirements.txt\n"}
        )
        with pytest.raises(ForeignSource, match=r"requirements\.txt is a link") as error:
            await workshop.build(giturl.parse(server.url()))
        assert "hunter2" not in str(error.value)

    @pytest.mark.parametrize(
        "files",
        [
            {"requirements.txt": "--index-url http://127.0.0.1:9/${SECRET}/simple\nx\n"},
            {"requirements.txt": "-r more.txt\n", "more.txt": "x @ http://127.0.0.1:9/${SECRET}/x-1-py3-none-any.whl\n"},
            {"pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["x @ http://127.0.0.1:9/\\u0024{SECRET}/x.whl"]\n'},
            {".npmrc": "registry=http://127.0.0.1:9/${SECRET}/\n"},
            {".npmrc": "git=./evil\n"},
            {"func.yaml": "run: {envs: [{name: A, value: '{{ env:SECRET }}'}]}\n"},
        ],
    )
    async def test_gets_no_variable_of_this_machine(
        self, server: GitServer, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
    ) -> None:
        monkeypatch.setenv("SECRET", "hunter2")
        server.repository(files={"func.py": HANDLER, **files})
        with pytest.raises((ForeignSource, ProjectInvalid)) as error:
            await workshop.build(giturl.parse(server.url()))
        assert "hunter2" not in str(error.value)

    async def test_may_say_where_npm_finds_packages(self, server: GitServer, workshop: Workshop) -> None:
        server.repository(
            files={"func.py": HANDLER, ".npmrc": "; ours\nregistry=https://npm.example/\n@us:registry = https://npm.example/\n"}
        )
        assert (await workshop.build(giturl.parse(server.url()))).digest

    async def test_is_somebody_elses_in_a_cluster_too(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, func_yaml="runtime: python\nkfn: {allowSdists: true}\n")
        assert (await workshop.build(source)).digest, "a folder is its owner's"
        with pytest.raises(ForeignSource):
            await workshop.build(source, foreign=True)
