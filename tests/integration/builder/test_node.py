"""Node functions: real npm and node, a registry of the test's own on loopback."""

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.errors import (
    BadEntry,
    DependencyError,
    HandlerNotFound,
    IndexRefused,
    IndexUnreachable,
    LockMissing,
    PackageLockStale,
    ProjectInvalid,
    SyntaxInvalid,
    ToolMissing,
)
from builder.options import BuildResult
from builder.platform import Platform
from tests.integration.builder.conftest import Workshop
from tests.peers.npm_registry import Registry, npm_registry

SERVER = "require('http').createServer((q, s) => s.end('hello')).listen(process.env.PORT || 8080)\n"
SCRIPTS = {"postinstall": "echo made > made.txt"}
ONE_WANTED = '{"dependencies": {"a": "^2"}}'
OLD_LOCK = '{"packages": {"": {"dependencies": {"a": "^1"}}}}'
LINK_OUT = '{"packages": {"node_modules/a": {"resolved": "../a", "link": true}}}'
pytestmark = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node or npm is not on this machine")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with npm_registry() as found:
        monkeypatch.setenv("npm_config_registry", found.url)
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        yield found


def project(workshop: Workshop, name: str = "app", lock: dict[str, Any] | None = None, package: Any = None, **files: str) -> Path:
    """A function whose lock has these packages, each wanted by its exact version unless it is for development or inside another."""
    packages = lock or {}
    top = {path.removeprefix("node_modules/"): one for path, one in packages.items() if path.count("node_modules/") == 1}
    wanted = {name: one.get("resolved") if one.get("link") else one["version"] for name, one in top.items() if not one.get("optional")}
    optional = {name: one["version"] for name, one in top.items() if one.get("optional")}
    kinds = {"dependencies": wanted} | ({"optionalDependencies": optional} if optional else {})
    content = {"name": name, "version": "1.0.0", **kinds, **(package or {})}
    given = {"package.json": json.dumps(content), **(files or {"index.js": SERVER})}
    if lock is not None:
        root = {key: content[key] for key in ("name", "version", *kinds)}
        tree = {"name": name, "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {"": root, **packages}}
        given["package-lock.json"] = json.dumps(tree)
    return workshop.source(name, **given)


def tree(workshop: Workshop, result: BuildResult) -> dict[str, str]:
    """Every file and link of the image, with its link's target."""
    found = {}
    for built in result.layers:
        with tarfile.open(workshop.store.blob_path(built.layer.digest)) as tar:
            found |= {member.name: member.linkname for member in tar if not member.isdir()}
    return found


def config(workshop: Workshop, result: BuildResult) -> dict[str, Any]:
    return dict(workshop.image(result).config["config"])


class TestANodeFunction:
    async def test_without_dependencies_needs_no_lock(self, workshop: Workshop) -> None:
        result = await workshop.build(workshop.source("app", **{"package.json": "{}", "index.js": SERVER}))
        made = config(workshop, result)
        assert made["Entrypoint"] == ["node", "index.js"]
        assert (made["WorkingDir"], made["Env"], made["User"]) == ("/func", ["NODE_ENV=production"], "1000:1000")
        assert (made["Labels"]["dev.kfn.runtime"], result.handler) == ("node", "index.js")
        assert set(tree(workshop, result)) == {"func/package.json", "func/index.js"}

    @pytest.mark.parametrize(
        ("package", "words", "env"),
        [
            (
                {"scripts": {"start": "node --enable-source-maps ./server.js --port 1"}},
                ["node", "--enable-source-maps", "server.js", "--port", "1"],
                [],
            ),
            ({"scripts": {"start": "LOG=debug node -r ./a.js server.js"}}, ["node", "-r", "./a.js", "server.js"], ["LOG=debug"]),
            ({"main": "lib"}, ["node", "lib/index.js"], []),
            ({"main": "server"}, ["node", "server.js"], []),
            ({"scripts": {"start": "npm run x"}, "main": "server.js"}, ["node", "server.js"], []),
            ({}, ["node", "server.js"], []),
        ],
        ids=["options", "variables", "main is a folder", "main without suffix", "another runner", "usual name"],
    )
    async def test_starts_as_package_json_says(self, workshop: Workshop, package: dict[str, Any], words: list[str], env: list[str]) -> None:
        files = {"server.js": SERVER, "lib/index.js": SERVER, "a.js": ""}
        result = await workshop.build(workshop.source("app", **{"package.json": json.dumps(package), **files}))
        made = config(workshop, result)
        assert (made["Entrypoint"], made["Env"][1:]) == (words, env)

    async def test_has_its_packages_and_not_those_for_development(self, workshop: Workshop, registry: Registry) -> None:
        lock = {
            "node_modules/a": registry.publish("a", dependencies={"b": "1.0.0"}),
            "node_modules/b": registry.publish("b"),
            "node_modules/@s/c": registry.publish("@s/c"),
        }
        folder = project(workshop, lock=lock, package={"dependencies": {"a": "1.0.0", "@s/c": "1.0.0"}})
        content = json.loads((folder / "package-lock.json").read_text())
        content["packages"][""]["dependencies"] = {"a": "1.0.0", "@s/c": "1.0.0"}
        content["packages"][""]["devDependencies"] = {"d": "1.0.0"}
        content["packages"]["node_modules/d"] = {**registry.publish("d"), "dev": True}
        (folder / "package-lock.json").write_text(json.dumps(content))
        package = json.loads((folder / "package.json").read_text())
        (folder / "package.json").write_text(json.dumps({**package, "devDependencies": {"d": "1.0.0"}}))
        result = await workshop.build(folder)
        modules = {name for name in tree(workshop, result) if name.startswith("func/node_modules/")}
        assert modules == {f"func/node_modules/{name}/{file}" for name in ("a", "b", "@s/c") for file in ("index.js", "package.json")}
        assert not any("/d" in path for path in registry.asked)

    async def test_starts_a_program_of_a_package(self, workshop: Workshop, registry: Registry) -> None:
        serve = registry.publish("serve", files={"cli.js": b"#!/usr/bin/env node\n"}, bin={"serve": "cli.js"})
        folder = project(workshop, lock={"node_modules/serve": serve}, package={"scripts": {"start": "serve ./index.js"}})
        result = await workshop.build(folder)
        assert config(workshop, result)["Entrypoint"] == ["node", "node_modules/.bin/serve", "./index.js"]
        assert tree(workshop, result)["func/node_modules/.bin/serve"] == "../serve/cli.js"

    async def test_starts_a_program_that_is_no_script_of_node_by_itself(self, workshop: Workshop, registry: Registry) -> None:
        serve = registry.publish("serve", files={"run": b"#!/bin/sh\n"}, bin={"serve": "run"})
        folder = project(workshop, lock={"node_modules/serve": serve}, package={"scripts": {"start": "serve now"}})
        assert config(workshop, await workshop.build(folder))["Entrypoint"] == ["/func/node_modules/.bin/serve", "now"]

    async def test_may_have_packages_in_its_own_folder(self, workshop: Workshop, registry: Registry) -> None:
        lock = {"lib/own": {"version": "1.0.0"}, "node_modules/own": {"resolved": "lib/own", "link": True}}
        folder = project(workshop, lock=lock, package={"dependencies": {"own": "file:lib/own"}}, **{
            "index.js": "require('own')\n", "lib/own/package.json": '{"name": "own", "version": "1.0.0"}', "lib/own/index.js": "\n",
        })  # fmt: skip
        content = json.loads((folder / "package-lock.json").read_text())
        content["packages"][""]["dependencies"] = {"own": "file:lib/own"}
        (folder / "package-lock.json").write_text(json.dumps(content))
        assert tree(workshop, await workshop.build(folder))["func/node_modules/own"] == "../lib/own"

    async def test_takes_the_packages_that_its_platform_runs(self, workshop: Workshop, registry: Registry, tmp_path: Path) -> None:
        lock = {
            f"node_modules/native-{cpu}": {**registry.publish(f"native-{cpu}", os=["linux"], cpu=[cpu]), "optional": True}
            for cpu in ("x64", "arm64")
        }
        folder = project(workshop, lock=lock)
        result = await workshop.build(folder)
        here = {"amd64": "x64", "arm64": "arm64"}[result.content.platform.architecture if result.content.platform else ""]
        assert {name.split("/")[2] for name in tree(workshop, result) if "native" in name} == {f"native-{here}"}

    async def test_names_its_packages_with_their_hashes(self, workshop: Workshop, registry: Registry) -> None:
        from builder.node.lock import component, parse

        entry = registry.publish("@s/a", license="MIT")
        project(workshop, lock={"node_modules/@s/a": entry})
        found = component(parse((workshop.root / "app/package-lock.json").read_text(), "package-lock.json").entries[0])
        assert found.purl == "pkg:npm/%40s/a@1.0.0"
        assert [text.partition(":")[0] for text in found.hashes] == ["sha512"]
        assert len(found.hashes[0]) == len("sha512:") + 128
        assert found.licenses == ("MIT",)


class TestLayers:
    async def test_are_the_same_from_another_folder_another_umask_and_a_cold_cache(
        self, workshop: Workshop, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        tool = registry.publish("tool", files={"run.js": b"#!/usr/bin/env node\n"}, bin={"tool": "run.js"})
        lock = {"node_modules/tool": tool, "node_modules/big": registry.publish("big", files={"data": b"x" * 2_000_000})}
        first = await workshop.build(project(workshop, lock=lock))
        again = project(Workshop(tmp_path / "elsewhere/deep"), lock=lock)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm2"))
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        mask = os.umask(0o077)
        try:
            second = await workshop.build(again, cache=tmp_path / "cache2")
        finally:
            os.umask(mask)
        assert first.digest == second.digest
        assert [built.title for built in first.layers] == ["big", "1 small package", "3 files"]

    async def test_of_a_large_package_stays_when_a_small_one_changes(self, workshop: Workshop, registry: Registry) -> None:
        big, one = registry.publish("big", files={"data": b"x" * 2_000_000}), registry.publish("small")
        first = await workshop.build(project(workshop, lock={"node_modules/big": big, "node_modules/small": one}))
        two = registry.publish("small", "2.0.0")
        second = await workshop.build(project(workshop, lock={"node_modules/big": big, "node_modules/small": two}))
        assert first.layers[0].layer == second.layers[0].layer
        assert first.layers[1].layer != second.layers[1].layer
        assert [built.cached for built in second.layers] == [True, False, False]

    async def test_are_used_again_without_npm(self, workshop: Workshop, registry: Registry) -> None:
        folder = project(workshop, lock={"node_modules/a": registry.publish("a")})
        first = await workshop.build(folder)
        registry.asked.clear()
        second = await workshop.build(folder, offline=True)
        assert first.digest == second.digest
        assert registry.asked == []
        assert all(built.cached for built in second.layers)


class TestInstallScripts:
    async def test_do_not_run_and_are_named(self, workshop: Workshop, registry: Registry) -> None:
        folder = project(workshop, lock={"node_modules/native": registry.publish("native", scripts=SCRIPTS)})
        result = await workshop.build(folder)
        assert "func/node_modules/native/made.txt" not in tree(workshop, result)
        assert any(w.startswith("native: install scripts did not run") and "kfn.allowScripts: true" in w for w in result.warnings)

    async def test_run_when_func_yaml_allows_them_and_that_is_said(self, workshop: Workshop, registry: Registry) -> None:
        lock = {"node_modules/native": registry.publish("native", scripts=SCRIPTS)}
        own = {"scripts": {"postinstall": "touch own.txt", "start": "node index.js"}}
        folder = project(workshop, lock=lock, package=own)
        (folder / "func.yaml").write_text("runtime: node\nkfn: {allowScripts: true}\n")
        result = await workshop.build(folder)
        assert "func/node_modules/native/made.txt" in tree(workshop, result)
        assert "install scripts ran, which are foreign code: native" in result.warnings

    async def test_of_npms_own_settings_cannot_be_turned_on(
        self, workshop: Workshop, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("npm_config_ignore_scripts", "false")
        folder = project(workshop, lock={"node_modules/native": registry.publish("native", scripts=SCRIPTS)})
        (folder / ".npmrc").write_text("ignore-scripts=false\n")
        assert "func/node_modules/native/made.txt" not in tree(workshop, await workshop.build(folder))


class TestTheRegistry:
    async def test_is_asked_with_the_token_of_the_projects_npmrc_which_stays_out_of_the_image(
        self, workshop: Workshop, registry: Registry
    ) -> None:
        registry.token = "s3cret"
        folder = project(workshop, lock={"node_modules/a": registry.publish("a")})
        with pytest.raises(IndexRefused, match=r"E401(.|\n)*credentials to npm"):
            await workshop.build(folder)
        (folder / ".npmrc").write_text(f"{registry.url.removeprefix('http:')}:_authToken=s3cret\n")
        result = await workshop.build(folder)
        assert not any("npmrc" in name for name in tree(workshop, result))

    async def test_that_does_not_answer_is_worth_another_try(self, workshop: Workshop, registry: Registry) -> None:
        folder = project(workshop, lock={"node_modules/a": registry.publish("a")})
        registry.status = 503
        with pytest.raises(IndexUnreachable, match="503"):
            await workshop.build(folder)
        with pytest.raises(IndexUnreachable, match="npm's cache does not have it"):
            await workshop.build(folder, offline=True)

    async def test_that_has_another_package_than_the_lock_is_told_loudly(self, workshop: Workshop, registry: Registry) -> None:
        folder = project(workshop, lock={"node_modules/a": registry.publish("a")})
        registry.publish("a", files={"index.js": b"steal()\n"})
        with pytest.raises(DependencyError, match="can mean tampering"):
            await workshop.build(folder)


class TestBadInput:
    @pytest.mark.parametrize(
        ("files", "error", "said"),
        [
            ({"package.json": ONE_WANTED}, LockMissing, "1 dependency and there is no package-lock.json; make one with `npm"),
            ({"package.json": ONE_WANTED, "yarn.lock": ""}, LockMissing, "yarn.lock is Yarn's; kfn installs with npm"),
            ({"package.json": ONE_WANTED, "pnpm-lock.yaml": ""}, LockMissing, "pnpm-lock.yaml is pnpm's"),
            ({"package.json": ONE_WANTED, "bun.lock": ""}, LockMissing, "bun.lock is Bun's"),
            ({"package.json": '{"a": 1,\n}'}, ProjectInvalid, r"package\.json:2:1"),
            ({"package.json": "[]"}, ProjectInvalid, "must hold an object"),
            ({"package.json": ONE_WANTED, "package-lock.json": '{"lockfileVersion": 1}'}, PackageLockStale, "has format 1, kfn needs 2"),
            ({"package.json": ONE_WANTED, "package-lock.json": OLD_LOCK}, PackageLockStale, r"asks for a \^2, package-lock\.json has a"),
            ({"package.json": "{}", "package-lock.json": LINK_OUT}, BadEntry, r"lies at '\.\./a', outside of the folder"),
            ({"package.json": "{}", "index.js": None, "a.x": ""}, HandlerNotFound, r"no scripts\.start.*There are a\.x, pack"),
            ({"package.json": '{"main": "indx.js"}'}, HandlerNotFound, r"main: there is no file indx\.js; did you mean index\.js\?"),
            ({"package.json": '{"main": "../../etc/x.js"}'}, HandlerNotFound, "is outside of the folder"),
            ({"package.json": '{"main": "index.ts"}', "index.ts": ""}, HandlerNotFound, "is TypeScript; compile it"),
            ({"package.json": '{"scripts": {"start": "tsx index.js"}}'}, HandlerNotFound, "runs tsx, which no dependency brings"),
            ({"package.json": "{}", "index.js": "const a = 1\nconst = 2\n"}, SyntaxInvalid, r"index\.js:2\nconst = 2\n"),
            ({"package.json": '{"type": "module"}', "index.js": "export default 1\nimport {\n"}, SyntaxInvalid, r"index\.js:\d"),
        ],
        ids=[
            "no lock", "yarn", "pnpm", "bun", "no JSON", "a list", "old lock", "stale lock", "link out", "no entry", "misspelt main",
            "main outside", "typescript", "unknown program", "syntax error", "syntax error in a module",
        ],
    )  # fmt: skip
    async def test_is_told_before_anything_is_downloaded(
        self, workshop: Workshop, registry: Registry, files: dict[str, str | None], error: type[Exception], said: str
    ) -> None:
        with pytest.raises(error, match=said):
            given = {"index.js": "", **files}
            await workshop.build(workshop.source("app", **{name: text for name, text in given.items() if text is not None}))
        assert registry.asked == []
        assert not (workshop.root / "images/index.json").exists()

    async def test_a_missing_tool_is_named(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissing, match="node is not on PATH"):
            await workshop.build(workshop.source("app", **{"package.json": "{}", "index.js": SERVER}))

    async def test_a_start_script_for_a_shell_is_not_used_and_that_is_said(self, workshop: Workshop) -> None:
        package = json.dumps({"scripts": {"start": "node a.js && node b.js"}})
        result = await workshop.build(workshop.source("app", **{"package.json": package, "index.js": SERVER}))
        assert config(workshop, result)["Entrypoint"] == ["node", "index.js"]
        assert any("needs a shell" in warning for warning in result.warnings)

    async def test_a_package_for_another_system_is_refused_in_npms_words(self, workshop: Workshop, registry: Registry) -> None:
        folder = project(workshop, lock={"node_modules/mac": registry.publish("mac", os=["darwin"])})
        with pytest.raises(DependencyError, match=r"does not run on the image's platform(.|\n)*mac@1\.0\.0"):
            await workshop.build(folder)


class TestAnotherPlatform:
    def test_is_told_to_npm(self) -> None:
        from builder.node.lock import flags

        assert flags(Platform("arm64").architecture, "glibc 2.41") == ("--os=linux", "--cpu=arm64", "--libc=glibc")
        assert flags("amd64", "musl") == ("--os=linux", "--cpu=x64", "--libc=musl")
