"""Which refusals pass, in the words of the clouds and of their providers."""

import pytest

from orchestrator import transient

AWS = "operation error {}, https response error StatusCode: {}, RequestID: 4c1b9a3e-3f39-4c1e-b0a1-6f0f6a1d2f11, {}"
PASSES = [
    # Amazon
    AWS.format("Lambda: DeleteFunction", 429, "TooManyRequestsException: Rate exceeded"),
    AWS.format("IAM: DeleteRole", 400, "api error Throttling: Rate exceeded"),
    AWS.format("CloudWatch Logs: DeleteLogGroup", 400, "ThrottlingException: Rate exceeded"),
    AWS.format("S3: DeleteBucket", 503, "api error SlowDown: Please reduce your request rate."),
    AWS.format("S3: DeleteObject", 500, "api error InternalError: We encountered an internal error. Please try again."),
    AWS.format("S3: DeleteBucket", 503, "api error ServiceUnavailable: Service is unable to handle request."),
    AWS.format("EC2: DeleteVpc", 503, "api error RequestLimitExceeded: Request limit exceeded."),
    AWS.format(
        "Lambda: DeleteFunction",
        409,
        "ResourceConflictException: The operation cannot be performed at this time. An update is in progress for "
        "resource: arn:aws:lambda:us-east-1:123456789012:function:hop",
    ),
    AWS.format("IAM: DeleteRole", 409, "DeleteConflict: Cannot delete entity, must detach all policies first."),
    AWS.format(
        "S3: DeleteBucket",
        409,
        "api error OperationAborted: A conflicting conditional operation is currently in progress against this "
        "resource. Please try again.",
    ),
    AWS.format("S3: DeleteBucket", 409, "api error BucketNotEmpty: The bucket you tried to delete is not empty"),
    (
        "operation error IAM: DeleteRole, exceeded maximum number of attempts, 25, https response error StatusCode: 0, "
        'RequestID: , request send failed, Post "https://iam.amazonaws.com/": dial tcp 52.94.225.3:443: i/o timeout'
    ),
    'Post "https://sts.us-east-1.amazonaws.com/": net/http: TLS handshake timeout',
    (
        'Delete "https://hop.s3.us-east-1.amazonaws.com/": read tcp 10.0.0.2:40000->52.216.1.1:443: read: connection '
        "reset by peer"
    ),
    'Delete "https://hop.s3.us-east-1.amazonaws.com/": EOF',
    'Delete "https://hop.s3.us-east-1.amazonaws.com/": write: broken pipe',
    'Post "https://iam.amazonaws.com/": dial tcp: lookup iam.amazonaws.com on 10.0.0.1:53: no such host',
    'Get "https://iam.amazonaws.com/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    AWS.format("S3: DeleteObject", 400, "api error RequestTimeout: Your socket connection to the server was not read"),
    AWS.format("IAM: DeleteRole", 409, "ConcurrentModification: The request was rejected"),
    'Delete "https://hop.s3.us-east-1.amazonaws.com/": unexpected EOF',
    # Azure
    (
        'Status=429 Code="TooManyRequests" Message="The request is being throttled as the limit has been reached for '
        'operation type - Write_ObservationWindow_00:01:00."'
    ),
    'Status=503 Code="ServiceUnavailable" Message="The service is unavailable."',
    'Status=500 Code="InternalServerError" Message="Encountered internal server error. Diagnostic information: ..."',
    (
        'Status=504 Code="GatewayTimeout" Message="The gateway did not receive a response from Microsoft.Web within '
        'the specified time period."'
    ),
    'Status=409 Code="Conflict" Message="Cannot modify this site because another operation is in progress."',
    'Status=409 Code="AnotherOperationInProgress" Message="Another operation on this resource is in progress."',
    "HTTP 502 Bad Gateway",
    'Status=503 Code="ServerBusy" Message="The server is busy."',
    'Status=429 Code="RetryableError" Message="A retryable error occurred."',
    "HTTP 500 Internal Server Error",
    "HTTP 504 Gateway Time-out",
    'Status=409 Code="OperationTimedOut" Message="The operation timed out."',
    # Google
    (
        "googleapi: Error 409: There were concurrent policy changes. Please retry the whole read-modify-write with "
        "exponential backoff., aborted"
    ),
    "googleapi: Error 429: The rate of requests for this project exceeded the limit., rateLimitExceeded",
    (
        "googleapi: Error 503: Visibility check was unavailable. Please retry the request and contact support if the "
        "problem persists, backendError"
    ),
    "googleapi: got HTTP response code 429 with body: Too Many Requests",
    "Error waiting for Deleting Service: Error code 14, message: rpc error: code = Unavailable desc = upstream is down",
    # The way to a plugin.
    (
        'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp '
        '127.0.0.1:40000: connect: connection refused"'
    ),
]
STAYS = [
    "",
    # Amazon
    AWS.format(
        "IAM: DeleteRole", 403, "api error AccessDenied: User: arn:aws:iam::123456789012:user/me is not authorized"
    ),
    AWS.format(
        "STS: GetCallerIdentity", 403, "api error ExpiredToken: The security token included in the request is expired"
    ),
    AWS.format(
        "S3: DeleteBucket", 403, "api error SignatureDoesNotMatch: The request signature we calculated does not match"
    ),
    AWS.format(
        "S3: DeleteBucket", 403, "api error RequestTimeTooSkewed: The difference between the times is too large."
    ),
    AWS.format("IAM: PutRolePolicy", 404, "NoSuchEntity: Role hop not found"),
    AWS.format("Lambda: CreateFunction", 400, "InvalidParameterValueException: The role defined cannot be assumed"),
    AWS.format("S3: CreateBucket", 409, "BucketAlreadyExists: "),
    # Azure
    'Status=403 Code="AuthorizationFailed" Message="The client does not have authorization to perform action"',
    (
        'Status=409 Code="ScopeLocked" Message="The scope cannot perform delete operation because following scope(s) '
        'are locked. Please remove the lock and try again."'
    ),
    'Status=404 Code="ResourceGroupNotFound" Message="Resource group \'hop\' could not be found."',
    'Status=401 Code="ExpiredAuthenticationToken" Message="The access token expiry UTC time is earlier than now."',
    # Google
    "googleapi: Error 403: Permission 'bigquery.datasets.delete' denied on dataset hop, accessDenied",
    "googleapi: Error 404: Not found: Dataset rehearsal-project:hop, notFound",
    "googleapi: Error 403: The billing account for the owning project is disabled in state absent, accountDisabled",
    # The engine
    "hop: timeout must be at most 900",
    "update canceled",
    "urn:pulumi:r1-compute::cloud-hopping::aws:s3/bucket:Bucket::data: creating",
    "pulumi destroy was not done within 1200 s and was stopped",
]


@pytest.mark.parametrize("text", PASSES)
def test_what_passes(text: str) -> None:
    assert transient.passes(text)


@pytest.mark.parametrize("text", STAYS)
def test_what_stays(text: str) -> None:
    assert not transient.passes(text)


def test_one_of_several_refusals_is_enough() -> None:
    assert transient.passes("role: AccessDenied\nbucket: api error SlowDown: Please reduce your request rate.")
