"""What can be set on a gateway. Every wait and every buffer in `gateway/` takes its bound from here."""

from dataclasses import dataclass, field

from kfn.observe.otel import Tracing

KIB = 1024
MIB = 1024 * 1024

MAX_REPLY_HEAD = 256 * KIB  # an instance's status line and headers, or its trailers; more than any client takes
MAX_INTERIM = 100  # 1xx answers before the real one


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds and bytes, unless the name says otherwise. A limit of 0 means: no limit, where the comment says so."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0 picks a free one
    local_port: int | None = None  # a second port for names in the cluster, which then mean nothing on `port`; 0 picks a free one
    local_host: str = "127.0.0.1"  # where that port listens; what can reach it counts as inside
    tag_header: bool = True  # Knative-Serving-Tag chooses a tagged revision, which has a host of its own for everybody anyway

    connections: int = 20_000  # of clients, at once; more get 503, so that there are files left for instances
    connections_per_client: int = 0  # of one IPv4 address or IPv6 /64; more get 429. 0: no limit, for all may come through one proxy or NAT
    backlog: int = 2048  # connections the kernel may hold for us

    tls_port: int | None = None  # HTTPS beside the plain port; 0 picks a free one, None: no TLS
    tls_files: tuple[tuple[str, str], ...] = ()  # certificate (chain, PEM) and key, reloaded when they change; the first is the default
    tls_secrets: tuple[str, ...] = ()  # NAMESPACE/NAME of Secrets of type kubernetes.io/tls; default is the first, if there are no files
    tls_secrets_namespace: str = ""  # and all Secrets in this one namespace with the label kfn.dev/gateway-certificate=true
    tls_http2: bool = True  # offer h2 by ALPN, beside http/1.1
    tls_check: float = 5.0  # between two looks at the files
    handshake: float = 10.0  # from a connection to the end of its TLS handshake
    redirect: int = 0  # plain requests get 308 to https on this port, by which clients reach tls_port (443); 0: they are served

    max_head: int = 64 * KIB  # request line and headers; more is answered 431
    max_headers: int = 200  # header fields in a request; more is answered 431
    max_body: int = 0  # request body; more is answered 413. 0: no limit, bodies are streamed

    line: int = 10_000  # requests that may wait for one revision (Knative's activator); more get 503
    line_in_all: int = 50_000  # requests that may wait for all revisions together
    waiting_body: int = 64 * KIB  # of one waiting request's body is read ahead; then the client is not read from
    waiting_memory: int = 256 * MIB  # bodies of all waiting requests together; more get 503
    wait: float = 300.0  # longest wait for an instance; a revision's timeoutSeconds is the bound if it is shorter
    unreachable: float = 5.0  # how long connections to a revision's instances may fail before its request gets 502
    retry_after: int = 1  # told to a client that found the line full

    connect: float = 2.0  # one attempt to connect to an instance
    probe_first: float = 0.005  # between two probes of an instance that is not there yet ...
    probe_most: float = 0.1  # ... growing to this
    probe_for: float = 60.0  # how long a new address is probed when nothing waits for it
    upstream_idle: float = 4.0  # an unused connection to an instance; shorter than the 5 s after which many servers close theirs

    keep_alive: float = 75.0  # a client's connection between requests
    read_head: float = 20.0  # from a request's first byte to the end of its head
    read_body: float = 60.0  # between two pieces of a request's body, until its answer begins; then 408
    write_stall: float = 60.0  # a client that takes no byte of what waits for it is cut off
    linger: float = 2.0  # reading what a client still sends after its request was refused
    http2: bool = True  # with clients: off, it is neither understood on the plain port nor offered over TLS
    tunnel_idle: float = 300.0  # an upgraded connection with no byte in either direction
    tick: float = 0.1  # how exactly time limits are kept

    slots: str = ""  # the keepers of slots, commas between: unix:PATH or HOST:PORT. Empty: limits hold in this process only
    slots_token: str = field(default="", repr=False)  # what a keeper on TCP asks for
    slots_idle: float = 0.1  # slots that nobody used for so long are given back
    slots_retry: float = 0.5  # the longest pause between two tries to reach a keeper

    report: float = 1.0  # between two load samples
    load_reports: int = 60  # reports kept while the autoscaler is away; then the oldest are dropped
    load_samples: int = 50_000  # samples in them
    load_silence: float = 5.0  # an autoscaler that has said nothing for so long is taken for dead
    load_retry: float = 2.0  # the longest pause between two tries to reach it
    stop_delay: float = 0.0  # at stop: how long to accept yet, while load balancers learn that it is not ready
    stop_idle: float = 1.0  # at stop: how long a client that has just been answered may send another request
    drain: float = 30.0  # at stop: for requests that are under way
    cold_starts: int = 100  # kept for each revision

    access_log: str = ""  # a file, or - for standard output; one line of JSON a request. Empty: none
    access_log_sample: float = 1.0  # of requests that an instance answered below 500, the share that is logged
    access_log_query: bool = False  # log queries too: secrets travel there
    access_log_pause: float = 1.0  # between two writes, while there is little
    access_log_memory: int = 4 * MIB  # lines that are not written yet; more are dropped and counted
    tracing: Tracing | None = None  # spans are exported with OpenTelemetry; from its environment variables
    flush: float = 5.0  # at stop, after the drain: for lines and spans that are still here

    tell: bool = True  # why a revision cannot start, with the end of its log, in a 503; turn off where strangers can ask
    suggest: bool = True  # name similar hosts in a 404; turn off where strangers must not learn names
