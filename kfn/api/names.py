"""Labels, annotations and derived names: Knative's, spelled once, and kfn's own under `kfn.dev/`."""

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
BROKER = "eventing.knative.dev/broker"
AUTOSCALING = "autoscaling.knative.dev/"
SERVICE_NAME = "kubernetes.io/service-name"  # on an EndpointSlice: the Service it belongs to
DEFAULT_CONTAINER = "user-container"


def revision(configuration: str, generation: int) -> str:
    return f"{configuration}-{generation:05d}"


def deployment(revision: str) -> str:
    return f"{revision}-deployment"


def private_service(revision: str) -> str:
    """The Kubernetes Service that selects a revision's pods; its EndpointSlices are the revision's instances."""
    return f"{revision}-private"
