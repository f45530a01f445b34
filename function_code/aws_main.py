"""AWS Lambda behind a function URL: the CSV from S3, analysed, as a page or JSON.

The stack sets DATA_BUCKET and DATA_KEY, and what ``chart.py`` asks for. Whatever goes wrong is raised: Lambda logs it
and answers 502.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import cold_start  # isort: split

from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

from environment import setting

with cold_start.importing():
    import boto3  # The runtime's own: it is not in requirements.in.
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError  # Of a broken TLS connection, botocore lets it through.

    class _NotFetchedError(RuntimeError):
        """S3 did not give the CSV, or not all of it."""

    def _fetch() -> Generator[bytes, None, None]:
        """boto3 itself checks, at the end, the length, and the checksum of an object that has one."""
        bucket, key = setting("DATA_BUCKET"), setting("DATA_KEY")
        try:
            with closing(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"]) as body:
                yield from body.iter_chunks(cold_start.BLOCK_BYTES)
        except (BotoCoreError, ClientError, HTTPError) as error:
            raise _NotFetchedError(f"cannot read s3://{bucket}/{key}: {error}") from error

    _ahead = [cold_start.Download(_fetch)]
    import chart


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both.
    """Answer one request: ``event`` and the result are payload format 2.0, header names in lower case."""
    accept = event["headers"].get("accept", "")
    if _ahead:
        # Lambda may start a process before the CSV is there, and may let it rest until the connection is gone.
        with suppress(_NotFetchedError):
            return _answer(_ahead.pop(), accept)
    return _answer(cold_start.Download(_fetch), accept)


def _answer(download: cold_start.Download, accept: str) -> dict[str, Any]:
    with download:
        content_type, body = chart.respond(download.stream(), accept=accept)
    return {"statusCode": 200, "headers": {"content-type": content_type}, "body": body}
