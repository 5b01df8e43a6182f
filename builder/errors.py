"""What can go wrong in a build. The docstring of a class is the start of its message; `exit_code` is what the command line ends with."""


class BuildError(Exception):
    """The build failed."""

    exit_code = 1
    plain = False  # the detail says it all

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        title = "" if self.plain else (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{title.rstrip('.')}: {detail}" if title and detail else title or detail)


class UsageError(BuildError):
    """The build was asked for something it cannot do."""

    exit_code = 2
    plain = True


class SourceError(BuildError):
    """The source cannot be built."""

    exit_code = 3


class NotAProject(SourceError):
    """This folder is not a function that kfn can build."""


class SourceTooLarge(SourceError):
    """The source is too large."""


class BadEntry(SourceError):
    """The source holds something that cannot go into an image."""


class ForeignSource(SourceError):
    """The source is somebody else's and asks for more than it may."""


class ProjectInvalid(SourceError):
    """func.yaml is wrong."""


class SyntaxInvalid(SourceError):
    """The source does not compile."""


class HandlerNotFound(SourceError):
    """No handler was found."""


class GitError(SourceError):
    """The git repository cannot be built from."""


class GitRefused(BuildError):
    """The git repository is not open to this user."""

    exit_code = 4


class ProgramUnfit(SourceError):
    """This program cannot run in the image."""


class DependencyError(SourceError):
    """The dependencies cannot be installed."""


class PythonUnfit(SourceError):
    """The project needs another Python."""


class LockStale(SourceError):
    """kfn.lock does not match the dependencies."""


class BudgetExceeded(SourceError):
    """The function is over its own budget."""


class LockMissing(SourceError):
    """There is no lock file."""


class PackageLockStale(LockStale):
    """The lock file does not match package.json."""


class ModulesStale(LockStale):
    """go.mod or go.sum does not match the source."""


class CompileFailed(SourceError):
    """The source does not compile."""


class StepFailed(SourceError):
    """The Dockerfile cannot be built."""


class TransientError(BuildError):
    """Something outside did not answer; trying again may help."""

    exit_code = 75


class IndexUnreachable(TransientError):
    """The package index could not be reached."""


class GitUnreachable(TransientError):
    """The git repository could not be reached."""


class Busy(TransientError):
    """Another build holds the lock."""


class StoreError(BuildError):
    """The image store or the cache failed."""


class ImageNotFound(StoreError):
    """There is no such image."""

    exit_code = 3


class BlobCorrupt(StoreError):
    """A stored blob does not have the content its digest promises."""


class LayerUnsafe(StoreError):
    """A layer holds what cannot be unpacked."""

    plain = True


class DiskFull(StoreError):
    """There is no room left on the disk."""

    exit_code = 75


class ToolMissing(BuildError):
    """A program that the build needs is not there."""


class IndexRefused(BuildError):
    """The package index refused this user."""

    exit_code = 4


class IndexUntrusted(BuildError):
    """There is no safe connection to the package index."""

    exit_code = 5


class MirrorUnknown(UsageError):
    """No mirror of Debian is known."""


class MirrorUnreachable(TransientError):
    """The Debian mirror could not be reached."""


class ArchiveRefused(BuildError):
    """The Debian mirror gave something that cannot be trusted."""

    exit_code = 5


class PackageUnresolvable(DependencyError):
    """A Debian package cannot be had."""


class PackageGone(BuildError):
    """The Debian mirror no longer has a locked package."""

    exit_code = 5


class BaseLockInvalid(SourceError):
    """The base's lock file is wrong."""


class BadPackage(BuildError):
    """A Debian package holds something that must not go into an image."""

    exit_code = 5


class RegistryRefused(BuildError):
    """The registry refused this user."""

    exit_code = 4


class RegistryUnreachable(TransientError):
    """The registry did not answer."""


class RegistryError(BuildError):
    """The registry could not do what was asked."""

    exit_code = 5


class RegistryUntrusted(RegistryError):
    """There is no safe connection to the registry."""


class ImageMissing(RegistryError):
    """The registry does not have this image."""


class DigestMismatch(RegistryError):
    """What the registry sent is not what its digest promises."""


class KeyInvalid(BuildError):
    """The key cannot be used."""

    exit_code = 2


class NotVerified(BuildError):
    """The image is not what it should be."""
