"""AWS Lambda behind a function URL: the CSV from S3, analysed, as a page or JSON.

The stack sets DATA_BUCKET, DATA_KEY, CHART_TITLE and CHART_SOURCE. Whatever goes wrong is raised: Lambda logs it and
answers 502.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import os
import tempfile
from typing import Any

# Matplotlib keeps a cache of fonts: /tmp is the only place that Lambda lets a function write to.
os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "matplotlib"))  # noqa: PTH118

import analysis
import boto3  # The runtime's own: it is not in requirements.in.
import chart
from botocore.exceptions import BotoCoreError, ClientError


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both.
    """Answer one request: ``event`` and the result are payload format 2.0, header names in lower case."""
    title = _setting("CHART_TITLE")
    csv = _fetch(_setting("DATA_BUCKET"), _setting("DATA_KEY"))
    result = analysis.analyse(csv, title=title, source=_setting("CHART_SOURCE"))
    content_type, body = chart.answer(result, title=title, accept=event["headers"].get("accept", ""))
    return {"statusCode": 200, "headers": {"content-type": content_type}, "body": body}


def _setting(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise RuntimeError(f"the environment variable {name} is not set; the compute stack has to set it") from None


def _fetch(bucket: str, key: str) -> bytes:
    try:
        return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise RuntimeError(f"cannot read s3://{bucket}/{key}: {error}") from error
