"""OAuth of the sandbox Salesforce: client credentials and JWT bearer."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from sandbox.world import World

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class OAuthError(Exception):
    """A refused login: error code and description as OAuth sends them."""

    error: str
    description: str


def grant(world: World, form: Mapping[str, Any], authorization: str, base_url: str) -> dict[str, Any]:
    """The answer of the token endpoint. OAuthError when the login is refused."""
    if "salesforce" in world.refused_logins:
        raise OAuthError("invalid_grant", "user is locked out or the application's access was revoked")
    kind = form.get("grant_type")
    if kind == "client_credentials":
        _check_client(world, *_client(form, authorization))
        user = world.integration_user
    elif kind == JWT_GRANT:
        user = _jwt_user(world, str(form.get("assertion", "")))
    else:
        raise OAuthError("unsupported_grant_type", "grant type not supported")
    return _token(world, user, base_url)


def user_of(world: World, authorization: str) -> str | None:
    """The user behind an Authorization header, counting the call against its token; None when it is not valid."""
    scheme, _, token = authorization.partition(" ")
    with world.lock:
        if scheme not in ("Bearer", "OAuth") or token not in world.salesforce_tokens:
            return None
        world.salesforce_tokens[token] += 1
        if 0 < world.settings.token_calls < world.salesforce_tokens[token]:
            del world.salesforce_tokens[token]
            return None
    return token.partition("!")[2][:18]


def identity(world: World, user_id: str, base_url: str) -> dict[str, Any]:
    """Who a user is, as the identity URL and userinfo tell."""
    user = world.get("salesforce", "User", user_id) or {}
    return {
        "id": f"{base_url}/id/{world.organization_id}/{user_id}",
        "sub": f"{base_url}/id/{world.organization_id}/{user_id}",
        "user_id": user_id,
        "organization_id": world.organization_id,
        "username": user.get("Username"),
        "preferred_username": user.get("Username"),
        "display_name": user.get("Name"),
        "name": user.get("Name"),
        "email": user.get("Email"),
        "active": user.get("IsActive", True),
        "user_type": "STANDARD",
        "urls": {"rest": f"{base_url}/services/data/v{{version}}/"},
    }


def _client(form: Mapping[str, Any], authorization: str) -> tuple[str, str]:
    scheme, _, packed = authorization.partition(" ")
    if scheme.lower() != "basic":
        return str(form.get("client_id", "")), str(form.get("client_secret", ""))
    try:
        name, _, secret = base64.b64decode(packed, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


def _check_client(world: World, client_id: str, secret: str) -> None:
    known = world.clients.get(client_id)
    if known is None:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not secrets.compare_digest(known.encode(), secret.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")


def _jwt_user(world: World, assertion: str) -> str:
    """The user a signed assertion speaks for. The signature is checked when the world holds a public key."""
    try:
        options: Any = {"verify_signature": bool(world.jwt_public_key), "verify_exp": True, "verify_aud": False}
        claims = jwt.decode(assertion, world.jwt_public_key or "", algorithms=["RS256"], options=options)
    except jwt.ExpiredSignatureError as error:
        raise OAuthError("invalid_grant", "expired authorization code") from error
    except jwt.InvalidTokenError as error:
        raise OAuthError("invalid_grant", "invalid assertion") from error
    if claims.get("iss") not in world.clients:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if "exp" not in claims or "salesforce.com" not in str(claims.get("aud")):
        raise OAuthError("invalid_grant", "audience is invalid")
    for user in world.rows("salesforce", "User"):
        if user.get("Username") == claims.get("sub") and user.get("IsActive", True):
            return str(user["Id"])
    raise OAuthError("invalid_grant", "user hasn't approved this consumer")


def _token(world: World, user: str, base_url: str) -> dict[str, Any]:
    token = f"{world.organization_id[:15]}!{user}{secrets.token_urlsafe(24)}"
    with world.lock:
        world.salesforce_tokens[token] = 0
    return {
        "access_token": token,
        "signature": secrets.token_urlsafe(24),
        "scope": "api",
        "instance_url": _instance_url(world, base_url),
        "id": f"{base_url}/id/{world.organization_id}/{user}",
        "token_type": "Bearer",
        "issued_at": str(int(world.now().timestamp() * 1000)),
    }


def _instance_url(world: World, base_url: str) -> str:
    """The address of the instance: after every other move the other name of this machine."""
    names = ("127.0.0.1", "localhost")
    return base_url.replace(names[0], names[world.instance_moves % 2])
