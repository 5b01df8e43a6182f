"""What can keep the local node from starting a container. `reason` is the word that Kubernetes puts into a waiting state."""


class NodeError(Exception):
    """The node could not do what a pod asks for."""

    reason = "CreateContainerError"


class BadPod(NodeError):
    """The pod's own configuration is wrong: a missing Secret or key, an unknown field reference."""

    reason = "CreateContainerConfigError"


class ImageMissing(NodeError):
    """The image is not in the local image store."""

    reason = "ErrImagePull"


class BadImage(NodeError):
    """The image is damaged, unsafe to unpack, or needs something that this machine lacks."""

    reason = "CreateContainerError"


class StartFailed(NodeError):
    """The process could not be started."""

    reason = "StartError"


class NoLog(NodeError, LookupError):
    """There is no such log."""
