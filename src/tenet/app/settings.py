"""Every setting of Tenet, declared once: name, type, bounds, default, unit, and whether it may change while running.

What the file, the environment and the flags say is read by ``configuration``; the reference page is made from here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from tenet.app.identity_settings import KeystoneOptions
from tenet.wire.limits import EdgeLimits

#: Marks a setting that a running server takes over on SIGHUP, or with `tenet config reload`.
RUNNING = {"running": True}

#: What may stand behind the `?` of a store's URL; none of it is a secret.
STORE_URL_PARTS = (
    *("datacenter", "rack", "replication", "user", "password_file", "ca_file", "certificate_file", "key_file"),
    *("try_ms", "gc_grace_s"),
)


class Server(Struct, frozen=True, kw_only=True):
    """Where Tenet listens, and how it starts and stops."""

    listen: Annotated[
        str,
        Meta(
            description=(
                "Address and port of the one listener, as `HOST:PORT`; IPv6 hosts in brackets. Port 0 takes a free "
                "one. A change while running opens the new one first; connections to the former one end after an "
                "answer."
            ),
            pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):\d{1,5}$",
            extra={"bounds": "as in `127.0.0.1:8000` or `[::1]:8000`"} | RUNNING,
        ),
    ] = "127.0.0.1:8000"
    region: Annotated[
        str,
        Meta(
            description="The region that `tenet env` prints; signatures of every region are accepted.",
            pattern=r"^[a-z0-9-]{1,32}$",
            extra={"bounds": "1 to 32 of a-z, 0-9 and -"},
        ),
    ] = "us-east-1"
    drain_ms: Annotated[
        int,
        Meta(
            description="How long requests that have begun may take to end once a stop was asked for.",
            ge=0,
            le=600_000,
            extra={"unit": "ms"} | RUNNING,
        ),
    ] = 10_000


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Where the state lives."""

    url: Annotated[
        str,
        Meta(
            description=(
                "Engine and place of the store, as `ENGINE:LOCATION`. `sqlite:DIRECTORY` is the embedded engine; with "
                "nothing behind the colon it lies in the data directory. `cassandra://HOST[:PORT][,HOST]/KEYSPACE` is "
                "a keyspace of an Apache Cassandra cluster, which many servers may share; behind a `?`, `name=value` "
                "parts joined by `&` say more: `datacenter`, `rack`, `replication` (as in `dc1:3`), `user`, "
                "`password_file`, `ca_file`, `certificate_file`, `key_file`, `try_ms`, `gc_grace_s`. A password stands "
                "in its file, never in the URL."
            ),
            pattern=r"^[a-z][a-z0-9_]*:",
            extra={"bounds": "as in `sqlite:/var/lib/tenet/store`"},
        ),
    ] = "sqlite:"


class Tls(Struct, frozen=True, kw_only=True):
    """Encryption of what is said between clients and the server."""

    plaintext: Annotated[
        bool,
        Meta(description="Speak http instead of https. Refused unless the listener is on a loopback address."),
    ] = False
    names: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Further host names and addresses that the server certificate is made out to, beside localhost, the "
                "listener's host and the machine's name. In the environment: separated by commas."
            ),
            max_length=100,
        ),
    ] = ()
    certificate_file: Annotated[
        str,
        Meta(
            description=(
                "PEM file with a certificate chain to use instead of one from the local certificate authority; "
                "`private_key_file` goes with it. Read again on SIGHUP."
            ),
            extra=RUNNING,
        ),
    ] = ""
    private_key_file: Annotated[
        str,
        Meta(description="PEM file with the private key of `certificate_file`. Read again on SIGHUP.", extra=RUNNING),
    ] = ""

    certificate_s: Annotated[
        int,
        Meta(
            description=(
                "How long the certificate of the local certificate authority for this server is good; it is renewed in "
                "time without a restart. 0 is a day for a node of a cluster, else 397 days."
            ),
            ge=0,
            le=34_300_800,
            extra={"unit": "s"},
        ),
    ] = 0


class MeshOptions(Struct, frozen=True, kw_only=True):
    """How the nodes of a cluster reach each other; on where the store is one that several share, or `listen` is set."""

    listen: Annotated[
        str,
        Meta(
            description=(
                "Address and port that other nodes reach this one at, as `HOST:PORT`; port 0 takes a free one. Empty: "
                "where the store is one that several processes share (`ENGINE://HOST…`), the host of `server.listen` "
                "and port 7900, or a free one where that is a loopback address; else none."
            ),
            pattern=r"^((\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):\d{1,5})?$",
            extra={"bounds": "as in `10.0.0.1:7900`"},
        ),
    ] = ""
    advertise: Annotated[
        str,
        Meta(
            description=(
                "`HOST:PORT` that other nodes dial, where it is another than is listened on; port 0 stands for the one "
                "that is listened on. Empty: what is listened on, and the machine's name where that is every address."
            ),
            pattern=r"^((\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):\d{1,5})?$",
            extra={"bounds": "as in `node-1.example.org:7900`"},
        ),
    ] = ""
    name: Annotated[
        str,
        Meta(
            description=(
                "What this node is called when it is made; later it keeps its name. Empty: the machine's name and "
                "random digits."
            ),
            pattern=r"^([a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?)?$",
            extra={"bounds": "1 to 64 of a-z, 0-9 and -"},
        ),
    ] = ""
    peers: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "`HOST:PORT` of nodes that are dialled beside those that the store tells of. In the environment: "
                "separated by commas."
            ),
            max_length=1_000,
        ),
    ] = ()
    certificate_s: Annotated[
        int,
        Meta(
            description=(
                "How long a node's certificate is good; it is renewed when half of that is over, without a restart."
            ),
            ge=4,
            le=31_536_000,
            extra={"unit": "s"},
        ),
    ] = 86_400


class Keys(Struct, frozen=True, kw_only=True):
    """Access keys of clients."""

    master_key_file: Annotated[
        str,
        Meta(
            description=(
                "File with the key that the secrets of access keys are encrypted under. Empty: beside the data "
                "directory, under its name with `.master-key` behind it, so that a copy of the data alone discloses "
                "no secret."
            ),
        ),
    ] = ""


_EDGE = EdgeLimits()


class Limits(Struct, frozen=True, kw_only=True):
    """What the edge takes on at most. Beyond it a request gets the API's own throttling error, before any work."""

    connections_max: Annotated[
        int,
        Meta(
            description="Connections served at once; one more is answered 503 and closed.",
            ge=1,
            le=1_000_000,
            extra={"unit": "connections"} | RUNNING,
        ),
    ] = _EDGE.connections_max
    header_bytes_max: Annotated[
        int,
        Meta(
            description="Request line and headers of a request, together.",
            ge=1_024,
            le=1_048_576,
            extra={"unit": "bytes"} | RUNNING,
        ),
    ] = _EDGE.header_bytes_max
    headers_max: Annotated[
        int,
        Meta(description="Header lines of a request.", ge=10, le=10_000, extra={"unit": "headers"} | RUNNING),
    ] = _EDGE.headers_max
    pipelined_max: Annotated[
        int,
        Meta(
            description="Requests of one connection that wait for their turn; reading pauses beyond.",
            ge=1,
            le=10_000,
            extra={"unit": "requests"} | RUNNING,
        ),
    ] = _EDGE.pipelined_max
    body_bytes_held_max: Annotated[
        int,
        Meta(
            description="Bodies and unread answers in memory over all connections; beyond, requests are throttled.",
            ge=16_777_216,
            le=1_099_511_627_776,
            extra={"unit": "bytes"} | RUNNING,
        ),
    ] = _EDGE.body_bytes_held_max
    decompressed_ratio_max: Annotated[
        int,
        Meta(
            description="How many times its size a compressed body may grow to.",
            ge=1,
            le=10_000,
            extra={"unit": "ratio"} | RUNNING,
        ),
    ] = _EDGE.decompressed_ratio_max
    nesting_max: Annotated[
        int,
        Meta(
            description="Brackets that are open at once in a JSON body.",
            ge=40,
            le=100_000,
            extra={"unit": "levels"} | RUNNING,
        ),
    ] = _EDGE.nesting_max
    in_flight_max: Annotated[
        int,
        Meta(
            description="Requests that are worked on at once.", ge=1, le=100_000, extra={"unit": "requests"} | RUNNING
        ),
    ] = _EDGE.in_flight_max
    waiting_max: Annotated[
        int,
        Meta(
            description="Requests that wait for one of those places; beyond, they are throttled at once.",
            ge=0,
            le=1_000_000,
            extra={"unit": "requests"} | RUNNING,
        ),
    ] = _EDGE.waiting_max
    waiting_ms_max: Annotated[
        int,
        Meta(
            description="How long one waits for its place before it is throttled.",
            ge=0,
            le=60_000,
            extra={"unit": "ms"} | RUNNING,
        ),
    ] = _EDGE.waiting_ms_max
    requests_per_s_max: Annotated[
        float,
        Meta(
            description="Requests that are admitted in a second, all tenants together; 0 is no limit.",
            ge=0,
            le=10_000_000,
            extra={"unit": "requests per second"} | RUNNING,
        ),
    ] = _EDGE.requests_per_s_max
    requests_burst: Annotated[
        float,
        Meta(
            description="How many of them may come at once; 0 is a tenth of a second's.",
            ge=0,
            le=10_000_000,
            extra={"unit": "requests"} | RUNNING,
        ),
    ] = _EDGE.requests_burst
    tenant_requests_per_s_max: Annotated[
        float,
        Meta(
            description="Requests of one tenant that are admitted in a second; 0 is no limit.",
            ge=0,
            le=10_000_000,
            extra={"unit": "requests per second"} | RUNNING,
        ),
    ] = _EDGE.tenant_requests_per_s_max
    tenant_requests_per_s: Annotated[
        dict[Annotated[str, Meta(pattern="^[0-9]{12}$")], Annotated[float, Meta(ge=0, le=10_000_000)]],
        Meta(
            description=(
                "Exceptions to `tenant_requests_per_s_max`, by account. In the environment: `ACCOUNT=RATE`, separated "
                "by commas."
            ),
            max_length=10_000,
            extra={"unit": "requests per second"} | RUNNING,
        ),
    ] = field(default_factory=dict)
    refusals_per_s_max: Annotated[
        int,
        Meta(
            description=(
                "Throttled requests that are answered in a second; the answers to more of them are kept back, up to a "
                "second, so that clients which try again at once cannot keep the server busy with refusing."
            ),
            ge=1,
            le=10_000_000,
            extra={"unit": "requests per second"} | RUNNING,
        ),
    ] = _EDGE.refusals_per_s_max
    loop_delay_ms_max: Annotated[
        int,
        Meta(
            description="Requests that waited longer than this to be read are throttled; 0 is never.",
            ge=0,
            le=60_000,
            extra={"unit": "ms"} | RUNNING,
        ),
    ] = _EDGE.loop_delay_ms_max
    deadline_s: Annotated[
        float,
        Meta(
            description="How long a request may take from its last byte read to its answer.",
            ge=0.1,
            le=600,
            extra={"unit": "s"} | RUNNING,
        ),
    ] = _EDGE.deadline_s
    header_s_max: Annotated[
        float,
        Meta(
            description="How long a client may take to send the headers of a request, from their first byte.",
            ge=0.1,
            le=600,
            extra={"unit": "s"} | RUNNING,
        ),
    ] = _EDGE.header_s_max
    body_s_max: Annotated[
        float,
        Meta(description="How long a client may take to send a body.", ge=0.1, le=3_600, extra={"unit": "s"} | RUNNING),
    ] = _EDGE.body_s_max
    idle_s_max: Annotated[
        float,
        Meta(
            description="How long a connection stays open without a request.",
            ge=1,
            le=86_400,
            extra={"unit": "s"} | RUNNING,
        ),
    ] = _EDGE.idle_s_max
    write_s_max: Annotated[
        float,
        Meta(
            description="How long a client may leave an answer unread.", ge=0.1, le=3_600, extra={"unit": "s"} | RUNNING
        ),
    ] = _EDGE.write_s_max
    linger_s_max: Annotated[
        float,
        Meta(
            description="How long the rest of a refused request is read and thrown away, so that its sender sees why.",
            ge=0,
            le=60,
            extra={"unit": "s"} | RUNNING,
        ),
    ] = _EDGE.linger_s_max
    handshake_s_max: Annotated[
        float,
        Meta(description="How long a TLS handshake may take.", ge=0.1, le=600, extra={"unit": "s"} | RUNNING),
    ] = _EDGE.handshake_s_max


class TablesOptions(Struct, frozen=True, kw_only=True):
    """The tables service, which speaks the API of DynamoDB."""

    transition_ms: Annotated[
        int,
        Meta(
            description=(
                "How long a table stays in CREATING, UPDATING or DELETING at the least. 0 is as long as it takes; more "
                "shows how a program behaves that does not wait for its tables."
            ),
            ge=0,
            le=600_000,
            extra={"unit": "ms"},
        ),
    ] = 0
    tables_max: Annotated[
        int,
        Meta(description="Tables that an account may have.", ge=1, le=1_000_000, extra={"unit": "tables"}),
    ] = 2_500


class QueuesOptions(Struct, frozen=True, kw_only=True):
    """The queues service, which speaks the API of SQS."""

    queues_max: Annotated[
        int,
        Meta(description="Queues that an account may have.", ge=1, le=10_000_000, extra={"unit": "queues"}),
    ] = 1_000_000
    deleted_s: Annotated[
        int,
        Meta(
            description=(
                "How long a name is not free after its queue was deleted. 60 is what SQS does; 0 lets a program make "
                "the queue anew at once."
            ),
            ge=0,
            le=3_600,
            extra={"unit": "s"},
        ),
    ] = 60


class PipesOptions(Struct, frozen=True, kw_only=True):
    """The pipes service, which speaks the API of EventBridge Pipes."""

    pipes_max: Annotated[
        int,
        Meta(description="Pipes that an account may have.", ge=1, le=100_000, extra={"unit": "pipes"}),
    ] = 1_000


class PlacementOptions(Struct, frozen=True, kw_only=True):
    """The placement service, which speaks the API of OpenStack Placement."""

    path: Annotated[
        str,
        Meta(
            description=(
                "Path that it is mounted at. Empty: the root of the listener, where it answers what no other service "
                "does, in the place of the server's own pages."
            ),
            pattern=r"^(/[A-Za-z0-9._~-]+)*$",
            extra={"bounds": "as in `/placement`"},
        ),
    ] = "/placement"
    authentication: Annotated[
        Literal["keys", "none"],
        Meta(
            description=(
                "Who may call it. `keys`: whoever shows an access key, as `ID:SECRET` in a bearer token or in "
                "`X-Auth-Token`, or as user and password of HTTP basic. `none`: everybody, as whom the request says it "
                "is, as `noauth2` of OpenStack Placement has it; refused unless the listener is on a loopback address."
            )
        ),
    ] = "keys"
    open_policy: Annotated[
        bool, Meta(description="Let everybody who is known do everything, whatever his roles are.")
    ] = False
    enforce_new_defaults: Annotated[
        bool,
        Meta(description="Ask for the role `service` where the older policies of OpenStack let `admin` do as well."),
    ] = False
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Origins of web pages whose scripts may call it; `*` is every one. In the environment: separated by "
                "commas."
            ),
            max_length=100,
        ),
    ] = ()
    cors_headers: Annotated[
        tuple[str, ...],
        Meta(
            description="Headers that those scripts may send. In the environment: separated by commas.",
            max_length=100,
        ),
    ] = ("OpenStack-API-Version", "X-Auth-Token", "Content-Type")
    refused_claims_max: Annotated[
        int,
        Meta(
            description=(
                "How many requests to `/v1/claims` that were refused are kept of each project, with why, to be listed; "
                "of more the oldest are forgotten. 0: none are kept."
            ),
            ge=0,
            le=100_000,
            extra={"unit": "requests"},
        ),
    ] = 1_000


class Logs(Struct, frozen=True, kw_only=True):
    """What is written to standard error, one JSON object per line."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least level that is written.", extra=RUNNING),
    ] = "info"
    slow_ms: Annotated[
        int,
        Meta(
            description="Requests that take longer are logged, traced and kept for `tenet doctor`, as failed ones are.",
            ge=1,
            le=600_000,
            extra={"unit": "ms"} | RUNNING,
        ),
    ] = 500
    sample_ratio: Annotated[
        float,
        Meta(
            description="The share of all other requests that is logged and traced.",
            ge=0,
            le=1,
            extra={"unit": "ratio"} | RUNNING,
        ),
    ] = 0.001


class Traces(Struct, frozen=True, kw_only=True):
    """Where spans of requests go (OpenTelemetry): of failed and slow ones, and of the share that is logged."""

    file: Annotated[
        str, Meta(description="A file that spans are appended to, a JSON object per line; empty for none.")
    ] = ""
    otlp_endpoint: Annotated[
        str,
        Meta(
            description=(
                "URL of a collector that spans are sent to by OTLP over HTTP; empty for none. Needs the extra `otlp`: "
                "`pip install 'tenet-cloud[otlp]'`. A user and a password in it, and what follows a `?`, are sent to "
                "the collector, and `tenet doctor` and `tenet config check` show `***` for them. Headers come from the "
                "environment variable `OTEL_EXPORTER_OTLP_HEADERS`, which they do not show at all."
            ),
            pattern="^(https?://.+)?$",
            extra={"bounds": "as in `http://127.0.0.1:4318/v1/traces`"},
        ),
    ] = ""


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, as one consistent set."""

    version: Annotated[
        int, Meta(description="The version of the settings file's format; a file has to say `version = 1`.", ge=1, le=1)
    ] = 1
    data: Annotated[
        str,
        Meta(
            description="Directory of the embedded store, the local certificate authority and the root key.",
            min_length=1,
        ),
    ] = "tenet-data"
    server: Server = Server()
    store: StoreSettings = StoreSettings()
    tls: Tls = Tls()
    mesh: MeshOptions = MeshOptions()
    keys: Keys = Keys()
    limits: Limits = Limits()
    tables: TablesOptions = TablesOptions()
    queues: QueuesOptions = QueuesOptions()
    pipes: PipesOptions = PipesOptions()
    placement: PlacementOptions = PlacementOptions()
    keystone: KeystoneOptions = KeystoneOptions()
    logs: Logs = Logs()
    traces: Traces = Traces()
