"""What to do about what Kubernetes says: a table from its words to ours. Pure.

The words are those of Kubernetes 1.30 to 1.36 (tests/cluster/test_failures.py has the real ones); what is not here is shown as it is.
"""

import re

_TABLE = (
    # Images.
    (r"server gave HTTP response to HTTPS client", "The nodes speak TLS to this registry: give it a certificate, or tell their runtime."),
    (
        r"(?i:unauthorized|authentication required|access denied|requested access|no basic auth|failed to authorize|insufficient_scope)",
        "Name a pull secret that may read it in imagePullSecrets of the Service or of its ServiceAccount.",
    ),
    (r"manifest unknown|NAME_UNKNOWN|(?:pull|resolve|image).*not found", "Check the image's name and tag."),
    (r"(?:pull|resolve|image).*(?:no such host|connection refused|i/o timeout|no route to host)", "The nodes do not reach that registry."),
    (r"no match for platform|exec format error", "The image is for another kind of processor than the node has."),
    (r"couldn't parse image|InvalidImageName", "Write the image as registry/name:tag or name@sha256:digest."),
    (r"ErrImageNeverPull|is not present with pull policy of Never", "Put the image on the nodes, or set imagePullPolicy to IfNotPresent."),
    # What a container is made of.
    (r"couldn't find key|references non-existent (?:secret|config) key", "Add that key, or mark the reference as optional."),
    (r"(?i)(?:secret|configmap) \S+ not found", "Create it in the function's namespace, or mark the reference as optional."),
    (r"image will run as root", "Set securityContext.runAsUser to a number other than 0, or build the image with such a USER."),
    (r"non-numeric user", "Set securityContext.runAsUser to that user's number: Kubernetes cannot tell that a name is not root."),
    (r"executable file not found|no such file or directory: unknown|StartError", "Check command, args and the image's entry point."),
    (r"exec: .*permission denied", "Make the file executable in the image."),
    # Where a pod goes.
    (r"unbound immediate PersistentVolumeClaims", "The claim has no volume yet: check its StorageClass, size and access mode."),
    (r"persistentvolumeclaim \S+ not found", "Create the claim in the function's namespace."),
    (r"resourceclaim|ResourceClaim", "Check the claims that the Service names, and the devices that the nodes offer."),
    (r"Insufficient \S+", "Ask for less in resources.requests, free some, or add a node that has it."),
    (r"untolerated taint", "Add a toleration to the Service, or a node without that taint."),
    (r"didn't match Pod's node affinity/selector", "Check nodeSelector and affinity, and the labels of the nodes."),
    (r"Too many pods", "Add a node, or let this one have more pods."),
    # Who refuses a pod.
    (r"must specify (?:limits|requests|cpu|memory)", "The namespace's quota asks for that: set it in resources of the Service."),
    (r"exceeded quota", "Raise the ResourceQuota or free what it counts; it is tried again by itself."),
    (r"(?:maximum|minimum) \S+ usage per|max limit to request ratio", "Keep resources within the namespace's LimitRange."),
    (
        r"violates PodSecurity.*runAsNonRoot",
        "Set securityContext.runAsNonRoot: true on the container, or kfn's secure-pod-defaults to Enabled.",
    ),
    (r"violates PodSecurity", "Set what it names in the Service, or give the namespace another Pod Security level."),
    (r"admission webhook \S+ denied", "That webhook is not kfn's: ask who runs it."),
    (r"ValidatingAdmissionPolicy \S+ .*denied", "That policy is not kfn's: ask who made it."),
    (r"failed calling webhook", "That webhook does not answer: ask who runs it. It is tried again by itself."),
    (r"serviceaccount \S+ not found", "Create that ServiceAccount, or name another."),
    (r"no PriorityClass with name", "Create that PriorityClass, or name another."),
    (r"RuntimeClass \S+ not found", "Create that RuntimeClass, or name another."),
    (r"being terminated", "The namespace is being deleted."),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), words) for pattern, words in _TABLE)
_LONGEST = 4096  # characters that are looked through


def advised(reason: str, message: str) -> str:
    """The message, with what to do about it if that is known. Of several that fit, the first."""
    text = f"{reason}: {message}"[:_LONGEST]
    found = next((words for pattern, words in _COMPILED if pattern.search(text)), "")
    if not found or found in message:
        return message
    return f"{message.rstrip().rstrip('.')}. {found}" if message.strip() else found
