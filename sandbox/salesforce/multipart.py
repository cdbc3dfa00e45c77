"""The one-request form of a Bulk job: its description and its table as parts of one body."""

from __future__ import annotations

import email
import json
from typing import Any

from sandbox.salesforce.errors import ApiError


def parts_of(content_type: str, body: str) -> tuple[Any, str]:
    """The job's description as JSON and its table as text. ApiError when one of them is missing."""
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body.encode())
    named: dict[str, str] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            named[name] = payload.decode()
    if not {"job", "content"} <= named.keys():
        raise ApiError("INVALIDJOB", "a multipart job needs the parts job and content")
    try:
        return json.loads(named["job"]), named["content"]
    except ValueError as error:
        raise ApiError("INVALIDJOB", "the part job is not JSON") from error
