"""Salesforce record ids: 15 case-sensitive characters, or 18 with three that carry the case."""

from __future__ import annotations

_CASE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

PREFIXES = {
    "Organization": "00D",
    "User": "005",
    "Account": "001",
    "Opportunity": "006",
    "AccountTeamMember": "01M",
    "AccountHistory": "017",
    "Contact": "003",
    "Job": "750",
    "PermissionSet": "0PS",
    "PermissionSetAssignment": "0Pa",
    "ObjectPermissions": "110",
    "FieldPermissions": "01k",
    "UserPermissionAccess": "0UA",
}
"""First three characters of an id by object."""


def id18(native_id: str) -> str:
    """The 18-character form; text that is no id comes back as it is, so that it is not found.

    The case suffix of an 18-character id is recomputed: ids that went through a case-folding tool still resolve only
    by their first fifteen characters, as in a real org.
    """
    if len(native_id) not in (15, 18) or not native_id.isascii() or not native_id.isalnum():
        return native_id
    return native_id[:15] + _suffix(native_id[:15])


def is_id(value: object) -> bool:
    """True for text of the shape of a record id."""
    return isinstance(value, str) and len(value) in (15, 18) and value.isascii() and value.isalnum()


def make_id(prefix: str, number: int) -> str:
    """The id of the `number`-th record of an object, in ascending order of `number`."""
    body = ""
    while number:
        number, digit = divmod(number, 62)
        body = _DIGITS[digit] + body
    return id18(prefix + body.rjust(12, "0"))


def _suffix(id15: str) -> str:
    groups = (id15[0:5], id15[5:10], id15[10:15])
    return "".join(_CASE[sum(1 << place for place, char in enumerate(group) if char.isupper())] for group in groups)
