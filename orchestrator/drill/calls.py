"""The calls of the run's own clients, in the order in which a run makes them first.

What calls there are is what a run that nothing disturbs was seen to make; a test holds the two against each other.
"""

from typing import Final, NamedTuple

from orchestrator.rehearsal.faults import Cloud


class ClientCall(NamedTuple):
    """A call: ``path``, ``target`` and ``after`` as in a ``CallRule``, ``what`` for a person.

    ``download`` says whether its answer is a file. ``repeated`` says whether the client tries it again by itself, so
    that one failure does no harm.
    """

    what: str
    method: str
    path: str
    target: str | None = None
    after: int = 0
    download: bool = False
    repeated: bool = False


_METADATA = "/computeMetadata/v1"
_ACCOUNT = f"{_METADATA}/instance/service-accounts/default"
_JOBS = "/bigquery/v2/projects/[^/]+/jobs"
_BUCKETS = "/storage/v1/b"
DATA_CALLS: Final = (
    ClientCall("metadata server", "GET", "/", ""),
    ClientCall("project", "GET", f"{_METADATA}/project/project-id"),
    ClientCall("universe", "GET", f"{_METADATA}/universe/universe-domain"),
    ClientCall("account", "GET", f"{_ACCOUNT}/"),
    ClientCall("access token", "GET", f"{_ACCOUNT}/token"),
    ClientCall("preflight of BigQuery", "GET", "/bigquery/v2/projects/[^/]+/datasets", "maxResults=1&.*"),
    ClientCall("preflight of Cloud Storage", "GET", _BUCKETS, "maxResults=1&.*"),
    ClientCall("dry run", "POST", _JOBS),
    ClientCall("query", "POST", _JOBS, after=1),
    ClientCall("state of the query", "GET", f"{_JOBS}/[^/]+-query-[^/]+"),
    ClientCall("result table", "GET", "/bigquery/v2/projects/[^/]+/datasets/[^/]+/tables/result"),
    ClientCall("extract", "POST", _JOBS, after=2),
    ClientCall("state of the extract", "GET", f"{_JOBS}/[^/]+-extract-[^/]+"),
    ClientCall("bucket of the extract", "GET", f"{_BUCKETS}/[^/]+-extract"),
    ClientCall("files of the extract", "GET", f"{_BUCKETS}/[^/]+-extract/o"),
    ClientCall("download", "GET", f"/download{_BUCKETS}/[^/]+-extract/o/extract.*", download=True),
    ClientCall("datasets that are left", "GET", "/bigquery/v2/projects/[^/]+/datasets", "prettyPrint=false"),
    ClientCall("buckets that are left", "GET", _BUCKETS, "project=[^&]+&projection=.*"),
)
_SUBSCRIPTION = "/subscriptions/[^/]+"
CALLS: Final[dict[Cloud, tuple[ClientCall, ...]]] = {
    "aws": (
        ClientCall("who calls", "POST", "/", "GetCallerIdentity"),
        ClientCall("what the caller may do", "POST", "/", "SimulatePrincipalPolicy"),
        ClientCall("function", "GET", "/", ""),
        ClientCall("what has the tag", "POST", "/", "ResourceGroupsTaggingAPI_.*"),
        ClientCall("roles that are left", "POST", "/", "ListRoles"),
        ClientCall("buckets that are left", "GET", "/", "prefix=.*"),
        ClientCall("functions that are left", "GET", "/2015-03-31/functions"),
        ClientCall("layers that are left", "GET", "/2018-10-31/layers"),
        ClientCall("log groups that are left", "POST", "/", "Logs_.*DescribeLogGroups"),
    ),
    "azure": (
        ClientCall("endpoints", "GET", "/metadata/endpoints"),
        ClientCall("who gives tokens", "GET", "/[^/]+/v2.0/.well-known/openid-configuration"),
        ClientCall("access token", "POST", "/[^/]+/oauth2/v2.0/token"),
        ClientCall("provider Microsoft.Web", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Web"),
        ClientCall("provider Microsoft.Storage", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Storage"),
        ClientCall("what the caller may do", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Authorization/permissions"),
        ClientCall("quota of apps", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Web/locations/[^/]+/usages"),
        ClientCall("quota of storage", "GET", f"{_SUBSCRIPTION}/providers/Microsoft.Storage/locations/[^/]+/usages"),
        ClientCall("function's key", "POST", f"{_SUBSCRIPTION}/resourceGroups/.*/host/default/listkeys"),
        ClientCall("function", "GET", "/api/hail"),
        ClientCall("groups that are left", "GET", f"{_SUBSCRIPTION}/resourcegroups"),
        ClientCall("resources that are left", "GET", f"{_SUBSCRIPTION}/resources"),
    ),
    "gcp": (
        *DATA_CALLS,
        ClientCall("regions", "GET", "/run/v1/projects/[^/]+/locations"),
        ClientCall("services before", "GET", "/v2/projects/[^/]+/locations/[^/]+/services"),
        ClientCall("accounts before", "GET", "/v1/projects/[^/]+/serviceAccounts"),
        ClientCall("source bucket before", "GET", _BUCKETS, "project=[^&]+&prefix=.*"),
        ClientCall("what the caller may do", "POST", "/v1/projects/[^/]+:testIamPermissions"),
        ClientCall("ID token in the preflight", "GET", f"{_ACCOUNT}/identity", "audience=.*preflight.*"),
        ClientCall("ID token", "GET", f"{_ACCOUNT}/identity", "audience=.*127.0.0.1.*"),
        ClientCall("function", "GET", "/", "bucket=.*"),
        ClientCall("services that are left", "GET", "/v2/projects/[^/]+/locations/[^/]+/services", after=1),
        ClientCall("accounts that are left", "GET", "/v1/projects/[^/]+/serviceAccounts", after=1),
        ClientCall("source bucket that is left", "GET", _BUCKETS, "project=[^&]+&prefix=.*", after=1),
    ),
}
