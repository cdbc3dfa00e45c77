"""Answers as the vendors' edges send them: packed where the client takes it, and then in chunks of no known length."""

from __future__ import annotations

import gzip

from starlette.responses import Response

LEAST_BYTES = 1_000
"""Shorter answers travel as they are."""


def packed(response: Response, accepted: str) -> Response:
    """The response in gzip, where the request's Accept-Encoding names it. Its ETag says so, as Salesforce's does."""
    if "gzip" not in accepted or len(response.body) < LEAST_BYTES:
        return response
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    if "etag" in headers:
        headers["etag"] = headers["etag"][:-1] + '--gzip"'
    body = gzip.compress(bytes(response.body), compresslevel=1)
    small = Response(body, response.status_code, {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    del small.headers["content-length"]
    return small
