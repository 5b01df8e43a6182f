"""Choosing and fetching from a real archive: built by dpkg-deb, signed by gpg, served on loopback, sound and otherwise."""

import lzma
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from builder.debian import download, lock
from builder.debian.model import Package, Wanted
from builder.errors import ArchiveRefused, MirrorUnreachable, PackageGone, PackageUnresolvable
from tests.fakes.debian_archive import Fault, Gpg
from tests.integration.builder.debian.conftest import SUITES, Shop


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)


def left(shop: Shop) -> list[str]:
    """What lies in the cache that should not be there after a failure."""
    return [str(path) for pattern in ("blobs/sha256/*", ".tmp-*", "*.done") for path in shop.cache.rglob(pattern)]


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}/archive"


class TestASoundArchive:
    async def test_packages_are_chosen_fetched_and_locked(self, shop: Shop) -> None:
        async with shop.debian() as debian:
            selection = await debian.select(Wanted("trixie", "amd64", ("hello",)))
            fetched = await debian.fetch(selection.packages)
        assert [(one.name, one.version) for one in selection.packages] == [("hello", "1.0"), ("libhello", "1.0")]
        assert selection.left_out == (("debconf", "needed by libhello 1.0"),)
        assert [one.suite for one in selection.snapshots] == list(SUITES)
        assert [one.path.read_bytes()[:8] for one in fetched] == [b"!<arch>\n"] * 2
        assert lock.parse(lock.text(lock.of(selection)), "x").roots == ("hello",)

    async def test_security_updates_win_and_come_from_their_own_mirror(self, shop: Shop) -> None:
        shop.archive.add("trixie-updates", "libhello", "1.1")
        shop.archive.add("trixie-security", "libhello", "1.2")
        shop.archive.publish(*SUITES)
        async with shop.debian() as debian:
            selection = await debian.select(Wanted("trixie", "amd64", ("hello",)))
            await debian.fetch(selection.packages)
            assert await debian.versions("trixie", "amd64", ["libhello", "nothing"]) == {"libhello": "1.2"}
        assert any(path.startswith("/security/pool/main/l/libhello/libhello_1.2") for path, _ in shop.server.asked)

    async def test_a_second_run_reads_no_index_again_and_a_third_needs_no_mirror(self, shop: Shop) -> None:
        first = await shop.select("hello")
        async with shop.debian() as debian:
            await debian.fetch(first.packages)
        shop.server.asked.clear()
        assert await shop.select("hello") == first
        assert sorted(path.rpartition("/")[2] for path, _ in shop.server.asked) == ["InRelease"] * 3
        shop.server.asked.clear()
        assert await shop.select("hello", offline=True) == first
        async with shop.debian(offline=True) as debian:
            assert len(await debian.fetch(first.packages)) == 2
        assert not shop.server.asked

    async def test_an_index_that_nobody_used_for_weeks_goes_when_a_new_one_comes(self, shop: Shop) -> None:
        await shop.select("hello")
        indices = shop.cache / "debian" / "indices"
        (used, unused) = sorted(indices.iterdir())
        os.utime(unused, (1, 1))
        os.utime(used, (1, 1))
        shop.archive.add("trixie", "more")
        shop.archive.publish("trixie")
        await shop.select("hello")
        assert len(list(indices.iterdir())) == 2, "the new one, and the one that updates and security still share"

    async def test_indices_are_asked_for_by_their_hash_and_by_name_where_that_is_not_kept(self, shop: Shop) -> None:
        shop.server.faults = {"/by-hash/": [Fault(404)]}
        await shop.select("hello")
        asked = [path.removeprefix("/archive/dists/trixie/main/binary-amd64/") for path, _ in shop.server.asked if "/trixie/main" in path]
        assert asked[0].startswith("by-hash/SHA256/") and asked[1] == "Packages.xz"

    async def test_a_release_with_its_signature_apart_will_do(self, shop: Shop, gpg: Gpg) -> None:
        for suite in SUITES:
            folder = shop.archive.root / ("security" if "security" in suite else "archive") / "dists" / suite
            signed = (folder / "InRelease").read_text().split("\n\n", 1)[1].partition("-----BEGIN PGP SIGNATURE")[0]
            (folder / "Release").write_text(signed)
            (folder / "Release.gpg").write_bytes(gpg.detached(signed))
            (folder / "InRelease").unlink()
        assert len((await shop.select("hello")).packages) == 2

    async def test_without_updates_it_goes_on_with_a_warning(self, shop: Shop) -> None:
        shop.server.faults = {"trixie-updates": [Fault(404)]}
        (warning,) = (await shop.select("hello")).warnings
        assert "trixie-updates is not at" in warning

    async def test_a_lock_is_fetched_without_any_index(self, shop: Shop) -> None:
        packages = lock.of(await shop.select("hello")).packages
        shop.server.asked.clear()
        async with shop.debian() as debian:
            await debian.fetch(packages)
        assert all("/pool/" in path for path, _ in shop.server.asked)

    async def test_a_locked_package_that_moved_to_the_other_archive_is_found(self, shop: Shop) -> None:
        package = next(one for one in (await shop.select("hello")).packages if one.name == "hello")
        moved = Package(package.name, package.version, package.architecture, package.sha256, package.size, "security", package.path)
        async with shop.debian() as debian:
            assert (await debian.fetch([moved]))[0].path.is_file()


class TestWhatIsNotTrusted:
    async def refused(self, shop: Shop, says: str, **changed: object) -> None:
        with pytest.raises(ArchiveRefused, match=says) as told:
            await shop.select("hello", **changed)
        assert told.value.exit_code == 5
        assert not left(shop)

    async def test_a_release_signed_by_a_stranger(self, shop: Shop, stranger: Gpg) -> None:
        shop.archive.gpg = stranger
        shop.archive.publish("trixie")
        await self.refused(shop, r"Release file of trixie at http://.*signed by the key .*, which is not trusted")

    async def test_a_release_that_is_not_signed(self, shop: Shop) -> None:
        shop.server.faults = {"/trixie/InRelease": [Fault(body=b"Suite: trixie\nSHA256:\n")]}
        await self.refused(shop, "does not begin with a signed message; it is not signed")

    async def test_a_release_without_any_signature_file(self, shop: Shop) -> None:
        shop.server.faults = {"/trixie/InRelease": [Fault(404)], "/trixie/Release$": [Fault(body=b"Suite: trixie\n")]}
        await self.refused(shop, "is not signed: there is neither InRelease nor Release.gpg")

    async def test_another_suites_release(self, shop: Shop) -> None:
        shop.archive.publish(
            "trixie", change=lambda text: text.replace("name: trixie", "name: bookworm").replace("Suite: trixie", "Suite: old")
        )
        await self.refused(shop, "it is that of bookworm or old, not of trixie")

    async def test_a_stale_release_unless_it_may_be(self, shop: Shop) -> None:
        shop.archive.date -= timedelta(days=30)
        shop.archive.publish(*SUITES)
        await self.refused(shop, "it was valid until .* KFN_DEBIAN_ALLOW_STALE=1")
        assert (await shop.select("hello", allow_stale=True)).packages

    async def test_a_release_of_tomorrow(self, shop: Shop) -> None:
        shop.archive.date += timedelta(days=1)
        shop.archive.publish("trixie")
        await self.refused(shop, "23.0 hours in the future by this machine's clock")

    async def test_an_older_release_does_not_replace_a_newer_one(self, shop: Shop) -> None:
        first = await shop.select("hello")
        shop.archive.packages["trixie"].clear()
        shop.archive.date -= timedelta(hours=5)
        shop.archive.publish("trixie")
        assert await shop.select("hello") == first

    async def test_an_index_with_another_hash(self, shop: Shop) -> None:
        index = shop.archive.root / "archive/dists/trixie/main/binary-amd64/Packages.xz"
        data = bytearray(index.read_bytes())
        data[50] ^= 1
        shop.server.faults = {"trixie/main": [Fault(body=bytes(data))]}
        await self.refused(shop, r"Packages.xz of trixie from http://\S+ has the sha256 [0-9a-f]{64}, but [0-9a-f]{64} is promised")

    async def test_an_index_that_is_cut_off_though_signed(self, shop: Shop) -> None:
        shop.archive.publish("trixie", index=lzma.compress(b"Package: x\n" * 9000)[:-30])
        await self.refused(shop, r"Packages.xz of trixie at \S+: its xz data is damaged")

    async def test_an_index_that_is_a_bomb(self, shop: Shop) -> None:
        shop.archive.publish("trixie", index=lzma.compress((b"Package: x\nSHA256: x\nTag: " + b"x" * 100_000 + b"\n\n") * 900, preset=1))
        await self.refused(shop, "unpack to more than 200 times as many")

    async def test_an_index_without_an_end_of_a_stanza(self, shop: Shop) -> None:
        shop.archive.publish("trixie", index=lzma.compress(bytes(50_000_000), preset=1))
        await self.refused(shop, "a stanza of more than")

    async def test_an_index_that_leads_out_of_the_pool(self, shop: Shop) -> None:
        shop.archive.packages["trixie"] = [one.replace("pool/main/h", "pool/../../etc") for one in shop.archive.packages["trixie"]]
        shop.archive.publish("trixie")
        with pytest.raises(ArchiveRefused, match="the stanza of hello in the index is damaged"):
            await shop.select("hello")

    async def test_no_security_archive(self, shop: Shop) -> None:
        shop.server.faults = {"trixie-security": [Fault(404)]}
        await self.refused(shop, r"trixie-security is not at .*KFN_DEBIAN_SECURITY_MIRROR.*or to none", security_guessed=True)
        assert (await shop.select("hello", security=())).packages

    async def test_a_suite_that_the_mirror_does_not_have(self, shop: Shop) -> None:
        shop.server.faults = {"/trixie/": [Fault(404)]}
        await self.refused(shop, "trixie is not at .*; set KFN_DEBIAN_MIRROR")

    async def test_a_mirror_that_wants_a_password_which_is_not_told(self, shop: Shop) -> None:
        shop.server.faults = {"/trixie/InRelease": [Fault(401)]}
        address = shop.server.address.replace("//", "//somebody:hunter2@")
        with pytest.raises(ArchiveRefused, match="answered 401; does it want a password") as told:
            await shop.select("hello", archive=(f"{address}/archive",))
        assert "hunter2" not in str(told.value)


class TestPackages:
    async def fetch(self, shop: Shop) -> bytes:
        selection = await shop.select("hello")
        async with shop.debian() as debian:
            fetched = await debian.fetch(selection.packages)
        assert [len(one.path.read_bytes()) for one in fetched] == [one.size for one in selection.packages]
        return fetched[0].path.read_bytes()

    def pool(self, shop: Shop) -> Path:
        return next(shop.archive.root.glob("archive/pool/main/h/hello/*.deb"))

    async def test_a_package_with_another_hash_is_refused_and_not_kept(self, shop: Shop) -> None:
        data = bytearray(self.pool(shop).read_bytes())
        data[-1] ^= 1
        shop.server.faults = {"/hello_1.0": [Fault(body=bytes(data))]}
        with pytest.raises(ArchiveRefused, match=r"hello 1.0 from http://\S+hello_1.0_amd64.deb has the sha256"):
            await self.fetch(shop)
        assert not any(data == path.read_bytes() for path in shop.cache.rglob("*") if path.is_file())

    async def test_a_package_that_is_too_long_is_refused_before_it_is_all_there(self, shop: Shop) -> None:
        shop.server.faults = {"/hello_1.0": [Fault(body=self.pool(shop).read_bytes() + bytes(50_000_000))]}
        with pytest.raises(ArchiveRefused, match=r"should have \d+ bytes, \S+ has more"):
            await self.fetch(shop)

    async def test_a_package_that_is_too_short_is_refused(self, shop: Shop) -> None:
        shop.server.faults = {"/hello_1.0": [Fault(body=self.pool(shop).read_bytes()[:-10])]}
        with pytest.raises(MirrorUnreachable, match=r"the connection ended after \d+ of \d+ bytes, 5 times|would not go on"):
            await self.fetch(shop)

    async def test_a_download_that_breaks_off_goes_on_where_it_was(self, shop: Shop) -> None:
        shop.server.faults = {"/hello_1.0": [Fault(cut=100), Fault(cut=50), Fault()]}
        assert await self.fetch(shop) == self.pool(shop).read_bytes()
        assert [asked for path, asked in shop.server.asked if "/hello_1.0" in path] == ["", "bytes=100-", "bytes=150-"]

    async def test_a_download_starts_again_where_the_mirror_does_not_go_on(self, shop: Shop) -> None:
        shop.server.faults = {"/hello_1.0": [Fault(cut=100), Fault(ranges=False)]}
        assert await self.fetch(shop) == self.pool(shop).read_bytes()

    async def test_what_a_killed_run_left_is_used_and_if_it_is_wrong_thrown_away(self, shop: Shop) -> None:
        package = (await shop.select("hello")).packages[0]
        partial = shop.cache / "debian" / "partial" / package.sha256
        partial.write_bytes(b"!<arch>\nsomething else")
        async with shop.debian() as debian:
            (fetched,) = await debian.fetch([package])
        assert fetched.path.read_bytes() == self.pool(shop).read_bytes()
        assert [asked for path, asked in shop.server.asked if "/hello_1.0" in path] == ["bytes=22-", ""]
        assert not partial.exists()

    async def test_a_mirror_that_fails_for_a_while_is_asked_again(self, shop: Shop) -> None:
        shop.server.faults = {"/hello_1.0": [Fault(503), Fault(502), Fault()], "/trixie/InRelease": [Fault(500), Fault()]}
        assert await self.fetch(shop)

    async def test_the_second_mirror_is_asked_when_the_first_is_down(self, shop: Shop) -> None:
        mirrors = (nobody(), f"{shop.server.address}/archive")
        selection = await shop.select("hello", archive=mirrors)
        async with shop.debian(archive=mirrors) as debian:
            assert len(await debian.fetch(selection.packages)) == 2

    async def test_a_mirror_that_is_down_is_a_passing_error(self, shop: Shop) -> None:
        with pytest.raises(MirrorUnreachable, match=r"127.0.0.1:\d+/archive/dists/trixie.*5 times") as told:
            await shop.select("hello", archive=(nobody(),))
        assert told.value.exit_code == 75

    async def test_a_damaged_file_in_the_cache_is_fetched_again(self, shop: Shop) -> None:
        selection = await shop.select("hello")
        async with shop.debian() as debian:
            (fetched, _) = await debian.fetch(selection.packages)
            good = fetched.path.read_bytes()
            fetched.path.write_bytes(good[:-1] + b"x")
            (again, _) = await debian.fetch(selection.packages)
        assert again.path.read_bytes() == good

    async def test_a_damaged_index_in_the_cache_is_made_again(self, shop: Shop) -> None:
        first = await shop.select("hello")
        for path in (shop.cache / "debian" / "indices").glob("*"):
            path.write_bytes(b"x" * 100)
        assert await shop.select("hello") == first

    async def test_a_locked_package_that_is_gone_names_both_ways_out(self, shop: Shop) -> None:
        selection = await shop.select("hello")
        self.pool(shop).unlink()
        async with shop.debian() as debian:
            with pytest.raises(PackageGone, match=r"hello 1.0 \(amd64\) is not at .*Make the lock anew, or give in KFN_DEBIAN_MIRROR"):
                await debian.fetch(selection.packages)

    async def test_offline_names_what_the_cache_lacks(self, shop: Shop) -> None:
        with pytest.raises(MirrorUnreachable, match=r"the cache has no state of trixie.* --offline"):
            await shop.select("hello", offline=True)
        selection = await shop.select("hello")
        async with shop.debian(offline=True) as debian:
            with pytest.raises(MirrorUnreachable, match=r"hello 1.0 is not in the cache, and --offline asks no mirror"):
                await debian.fetch(selection.packages)

    async def test_a_package_that_does_not_exist_is_named(self, shop: Shop) -> None:
        with pytest.raises(PackageUnresolvable, match=r"in trixie for amd64: helo, asked for by name: .*near names are hello") as told:
            await shop.select("helo")
        assert told.value.exit_code == 3

    async def test_packages_that_exclude_each_other_are_refused(self, shop: Shop) -> None:
        shop.archive.add("trixie", "bye", breaks="hello (<< 2)")
        shop.archive.publish("trixie")
        with pytest.raises(PackageUnresolvable, match=r"not together: bye 1.0 breaks hello 1.0"):
            await shop.select("hello", "bye")
