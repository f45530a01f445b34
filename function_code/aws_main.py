"""AWS Lambda behind a function URL: the CSV from S3, analysed, as a page or JSON.

The stack sets DATA_BUCKET and DATA_KEY, and what ``chart.py`` asks for. Whatever goes wrong is raised: Lambda logs it
and answers 502.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from typing import Any

import boto3  # The runtime's own: it is not in requirements.in.
import chart
from botocore.exceptions import BotoCoreError, ClientError


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both.
    """Answer one request: ``event`` and the result are payload format 2.0, header names in lower case."""
    csv = _fetch(chart.setting("DATA_BUCKET"), chart.setting("DATA_KEY"))
    content_type, body = chart.respond(csv, accept=event["headers"].get("accept", ""))
    return {"statusCode": 200, "headers": {"content-type": content_type}, "body": body}


def _fetch(bucket: str, key: str) -> bytes:
    try:
        return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise RuntimeError(f"cannot read s3://{bucket}/{key}: {error}") from error
