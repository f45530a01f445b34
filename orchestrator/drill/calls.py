"""The calls of the run's own clients, in the order in which a run makes them first.

What calls there are is what a run that nothing disturbs was seen to make; a test holds the two against each other.
"""

from typing import Final, NamedTuple

from orchestrator.rehearsal.faults import Cloud


class ClientCall(NamedTuple):
    """A call: ``path``, ``target`` and ``after`` as in a ``CallRule``, ``what`` for a person.

    ``fails`` is the run's exit code when the call fails for good, None where that depends. The effects in ``once`` are
    such a failure even if they come once; any other the client survives. ``download``: its answer is a file.
    """

    what: str
    method: str
    path: str
    target: str | None = None
    after: int = 0
    fails: int | None = 1
    once: frozenset[str] = frozenset()
    download: bool = False


# How a run ends that could not do without: nothing was made yet, something was, nobody knows what is left.
_BEFORE, _AFTER = 2, 3
_METADATA = "/computeMetadata/v1"
_ACCOUNT = f"{_METADATA}/instance/service-accounts/default"
_JOBS = "/bigquery/v2/projects/[^/]+/jobs"
_BUCKETS = "/storage/v1/b"
DATA_CALLS: Final = (
    ClientCall("metadata server", "GET", "/", "", fails=_BEFORE, once=frozenset({"403", "429", "503"})),
    ClientCall("project", "GET", f"{_METADATA}/project/project-id", fails=0),
    ClientCall("universe", "GET", f"{_METADATA}/universe/universe-domain", fails=_BEFORE),
    ClientCall("account", "GET", f"{_ACCOUNT}/", fails=_BEFORE),
    ClientCall("access token", "GET", f"{_ACCOUNT}/token", fails=_BEFORE),
    ClientCall(
        "preflight of BigQuery", "GET", "/bigquery/v2/projects/[^/]+/datasets", "maxResults=1&.*", fails=_BEFORE
    ),
    ClientCall("preflight of Cloud Storage", "GET", _BUCKETS, "maxResults=1&.*", fails=_BEFORE),
    ClientCall("dry run", "POST", _JOBS, fails=_BEFORE),
    ClientCall("query", "POST", _JOBS, after=1),
    ClientCall("state of the query", "GET", f"{_JOBS}/[^/]+-query-[^/]+"),
    ClientCall("result table", "GET", "/bigquery/v2/projects/[^/]+/datasets/[^/]+/tables/result"),
    ClientCall("extract", "POST", _JOBS, after=2),
    ClientCall("state of the extract", "GET", f"{_JOBS}/[^/]+-extract-[^/]+"),
    ClientCall("bucket of the extract", "GET", f"{_BUCKETS}/[^/]+-extract", fails=0),
    ClientCall("files of the extract", "GET", f"{_BUCKETS}/[^/]+-extract/o"),
    ClientCall(
        "download",
        "GET",
        f"/download{_BUCKETS}/[^/]+-extract/o/extract.*",
        download=True,
        once=frozenset({"wrong checksum"}),
    ),
    ClientCall(
        "datasets that are left", "GET", "/bigquery/v2/projects/[^/]+/datasets", "prettyPrint=false", fails=_AFTER
    ),
    ClientCall("buckets that are left", "GET", _BUCKETS, "project=[^&]+&projection=.*", fails=_AFTER),
)
_SUBSCRIPTION = "/subscriptions/[^/]+"
CALLS: Final[dict[Cloud, tuple[ClientCall, ...]]] = {
    "aws": (
        ClientCall("who calls", "POST", "/", "GetCallerIdentity", fails=_BEFORE),
        ClientCall("what the caller may do", "POST", "/", "SimulatePrincipalPolicy", fails=None),
        ClientCall("function", "GET", "/", "", once=frozenset({"times out"})),
        ClientCall("what has the tag", "POST", "/", "ResourceGroupsTaggingAPI_.*", fails=_AFTER),
        ClientCall("roles that are left", "POST", "/", "ListRoles", fails=_AFTER),
        ClientCall("buckets that are left", "GET", "/", "prefix=.*", fails=_AFTER),
        ClientCall("functions that are left", "GET", "/2015-03-31/functions", fails=_AFTER),
        ClientCall("layers that are left", "GET", "/2018-10-31/layers", fails=_AFTER),
        ClientCall("log groups that are left", "POST", "/", "Logs_.*DescribeLogGroups", fails=_AFTER),
    ),
    "azure": (
        ClientCall("endpoints", "GET", "/metadata/endpoints", fails=_BEFORE),
        ClientCall("who gives tokens", "GET", "/[^/]+/v2.0/.well-known/openid-configuration", fails=_BEFORE),
        ClientCall("access token", "POST", "/[^/]+/oauth2/v2.0/token", fails=_BEFORE),
        ClientCall("provider Microsoft.Web", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Web", fails=_BEFORE),
        ClientCall("provider Microsoft.Storage", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Storage", fails=_BEFORE),
        ClientCall(
            "what the caller may do",
            "GET",
            f"{_SUBSCRIPTION}/providers/Microsoft.Authorization/permissions",
            fails=_BEFORE,
        ),
        ClientCall(
            "quota of apps", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Web/locations/[^/]+/usages", fails=_BEFORE
        ),
        ClientCall(
            "quota of storage",
            "GET",
            f"{_SUBSCRIPTION}/providers/Microsoft.Storage/locations/[^/]+/usages",
            fails=_BEFORE,
        ),
        ClientCall(
            "function's key",
            "POST",
            f"{_SUBSCRIPTION}/resourceGroups/.*/host/default/listkeys",
        ),
        ClientCall("function", "GET", "/api/hail", once=frozenset({"times out"})),
        ClientCall("groups that are left", "GET", f"{_SUBSCRIPTION}/resourcegroups", fails=_AFTER),
        ClientCall("resources that are left", "GET", f"{_SUBSCRIPTION}/resources", fails=_AFTER),
    ),
    "gcp": (
        *DATA_CALLS,
        ClientCall("regions", "GET", "/run/v1/projects/[^/]+/locations", fails=_BEFORE),
        ClientCall("services before", "GET", "/v2/projects/[^/]+/locations/[^/]+/services", fails=_BEFORE),
        ClientCall("accounts before", "GET", "/v1/projects/[^/]+/serviceAccounts", fails=_BEFORE),
        ClientCall("source bucket before", "GET", _BUCKETS, "project=[^&]+&prefix=.*", fails=_BEFORE),
        ClientCall("what the caller may do", "POST", "/v1/projects/[^/]+:testIamPermissions", fails=None),
        ClientCall("ID token in the preflight", "GET", f"{_ACCOUNT}/identity", "audience=.*preflight.*", fails=_BEFORE),
        ClientCall("ID token", "GET", f"{_ACCOUNT}/identity", "audience=.*127.0.0.1.*"),
        ClientCall("function", "GET", "/", "bucket=.*", once=frozenset({"times out"})),
        ClientCall(
            "services that are left", "GET", "/v2/projects/[^/]+/locations/[^/]+/services", after=1, fails=_AFTER
        ),
        ClientCall("accounts that are left", "GET", "/v1/projects/[^/]+/serviceAccounts", after=1, fails=_AFTER),
        ClientCall("source bucket that is left", "GET", _BUCKETS, "project=[^&]+&prefix=.*", after=1, fails=_AFTER),
    ),
}
FLEX_CALLS: Final = (
    ClientCall("deployment site", "GET", f"{_SUBSCRIPTION}/resourceGroups/.*/sites/[^/]+"),
    ClientCall("package", "POST", "/api/publish", once=frozenset({"times out", "429"})),
    ClientCall("state of the deployment", "GET", "/api/deployments/latest", once=frozenset({"429"})),
)
"""What a run makes besides on Azure's plan flex."""
