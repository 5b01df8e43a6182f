"""Labels, annotations and derived names: Knative's, spelled once, and kfn's own under `kfn.dev/`."""

SYSTEM_NAMESPACE = "kfn-system"  # where kfn's own parts are, if nobody says otherwise
SERVICE = "serving.knative.dev/service"
SERVICE_UID = "serving.knative.dev/serviceUID"
CONFIGURATION = "serving.knative.dev/configuration"
CONFIGURATION_UID = "serving.knative.dev/configurationUID"
CONFIGURATION_GENERATION = "serving.knative.dev/configurationGeneration"
REVISION = "serving.knative.dev/revision"
REVISION_UID = "serving.knative.dev/revisionUID"
ROUTE = "serving.knative.dev/route"
ROUTES = "serving.knative.dev/routes"
ROUTING_STATE = "serving.knative.dev/routingState"  # active | reserve | pending
ROUTING_STATE_MODIFIED = "serving.knative.dev/routingStateModified"
NO_GC = "serving.knative.dev/no-gc"
CREATOR = "serving.knative.dev/creator"
LAST_MODIFIER = "serving.knative.dev/lastModifier"
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
ROLLOUT_DURATION = "serving.knative.dev/rollout-duration"
VISIBILITY = "networking.knative.dev/visibility"
BROKER_CLASS = "eventing.knative.dev/broker.class"
NATS_PUBLISH = "kfn.dev/nats-publish"  # on a template: Brokers, or channels/NAME, that the function may publish to by NATS
NATS_PULL = "kfn.dev/nats-pull"  # on a template: Triggers whose events it may pull by NATS
AUTH = "eventing.kfn.dev/auth"  # on a Broker or Channel: the Secret whose values are the tokens that publish there
ORDERING = "eventing.kfn.dev/ordering"  # on a Trigger or Subscription: partitionkey, whose events come one after the other
PULLED = "eventing.kfn.dev/pulled"  # on a Trigger: true: whoever has credentials for it pulls its events, and kfn delivers none
PAUSED = "eventing.kfn.dev/paused"  # on a Trigger: true, or until a time; its events wait
BROKER = "eventing.knative.dev/broker"
AUTOSCALING = "autoscaling.knative.dev/"
EVENT_WEIGHT = "kfn.dev/event-weight"  # on a Revision: places for waiting events, for each 100 for waiting requests
EVENT_WEIGHT_MOST = 10_000
HOSTS = "kfn.dev/hosts"  # on a Service or Route: hosts of the user's own; on a Route's status: those of them that it has got
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # kubectl's own note of what it sent
PODS_RETRIED = "kfn.dev/pods-retried"  # on a Deployment: when kfn last had its refused pods tried again
SERVICE_NAME = "kubernetes.io/service-name"  # on an EndpointSlice: the Service it belongs to
DEFAULT_CONTAINER = "user-container"
NATS_CREDENTIALS = "kfn-nats"  # in a namespace: its functions' credentials for NATS
NATS_FOLDER = "/etc/kfn/nats"  # where a function finds its own


LABEL_MAX = 63  # characters of a DNS label, and of a label's value
_HASHED = 31  # of a name that is too long, so many characters stay, the suffix included; the other 32 are its MD5


def child(parent: str, suffix: str) -> str:
    """The name of what belongs to `parent`: both together, or shortened with a hash to a DNS label. It is the name that Knative
    gives (`kmeta.ChildName`), so that scripts which look for it by name find it."""
    if len(parent) + len(suffix) <= LABEL_MAX:
        return parent + suffix
    from hashlib import md5  # with OpenSSL: 4 ms that a command line would pay for a constant of this file

    digest = md5(parent.encode(), usedforsecurity=False).hexdigest()
    return f"{parent[: _HASHED - len(suffix)]}{digest}{suffix}"


def revision(configuration: str, generation: int) -> str:
    return child(configuration, f"-{generation:05d}")


def deployment(revision: str) -> str:
    return child(revision, "-deployment")


def private_service(revision: str) -> str:
    """The Kubernetes Service that selects a revision's pods; its EndpointSlices are the revision's instances."""
    return child(revision, "-private")
