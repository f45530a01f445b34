"""AWS Lambda behind a function URL: the CSV from S3, analysed, as a page or JSON.

The stack sets DATA_BUCKET and DATA_KEY, and what ``chart.py`` asks for. Whatever goes wrong is raised: Lambda logs it
and answers 502.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import cold_start  # isort: split

from contextlib import suppress
from typing import Any

from environment import setting

with cold_start.importing():
    import boto3  # The runtime's own: it is not in requirements.in.
    from botocore.exceptions import BotoCoreError, ClientError

    def _fetch() -> bytes:
        bucket, key = setting("DATA_BUCKET"), setting("DATA_KEY")
        try:
            return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise RuntimeError(f"cannot read s3://{bucket}/{key}: {error}") from error

    _ahead = [cold_start.Download(_fetch)]
    import chart


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both.
    """Answer one request: ``event`` and the result are payload format 2.0, header names in lower case."""
    content_type, body = chart.respond(_csv(), accept=event["headers"].get("accept", ""))
    return {"statusCode": 200, "headers": {"content-type": content_type}, "body": body}


def _csv() -> bytes:
    """What was fetched ahead, the first time. Lambda may start a process before the CSV is there: then fetch it now."""
    if _ahead:
        with suppress(RuntimeError):
            return _ahead.pop().content()
    return _fetch()
