"""Composing a letter, and what the mail server's complaints mean."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import Fatal, Rejected
from connectors.smtp.sender import Attachment, Letter, SmtpSender, SmtpSettings, compose

SENDER = "Platbook <platbook@house.example>"


def letter(**changes: object) -> Letter:
    values: dict[str, object] = {
        "message_id": "<plan-7@platbook.example>",
        "to": ("ana@people.example",),
        "subject": "3 accounts changed owner",
        "text": "Mercy Hospital: Ana -> Bea\n",
        "html": "<p>Mercy Hospital</p>",
    }
    return Letter(**{**values, **changes})  # type: ignore[arg-type] # test values of mixed types


def parsed(message: EmailMessage) -> EmailMessage:
    again = email.message_from_bytes(bytes(message), policy=email.policy.default)
    assert isinstance(again, EmailMessage)
    return again


def test_a_letter_has_a_plain_text_an_html_twin_and_attachments() -> None:
    attachment = Attachment(name="changes.csv", content=b"a,b\r\n1,2\r\n")
    message = parsed(compose(letter(attachments=(attachment,)), SENDER))
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    (file,) = message.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == ("changes.csv", "text/csv")
    assert file.get_payload(decode=True) == b"a,b\r\n1,2\r\n"
    assert (message["Message-ID"], message["Auto-Submitted"]) == ("<plan-7@platbook.example>", "auto-generated")


@pytest.mark.parametrize(
    "name", ["Mercy\r\nBcc: all@house.example", "A\nB", "A\u2028B", "A\x00B", "A\x85B", "A\udce9B"]
)
def test_an_account_name_with_a_line_break_neither_crashes_nor_injects(name: str) -> None:
    attachment = Attachment(name=f"{name}/../x.csv", content=b"")
    message = parsed(compose(letter(subject=name, attachments=(attachment,)), SENDER))
    assert message["Bcc"] is None
    assert message["Subject"].split()[0][0] in "MA"
    (file,) = message.iter_attachments()
    assert "/" not in str(file.get_filename())


@settings(max_examples=60, deadline=None)
@given(subject=st.text(max_size=120), body=st.text(max_size=200))
def test_any_subject_and_text_make_a_mail(subject: str, body: str) -> None:
    message = parsed(compose(letter(subject=subject, text=body, html=""), SENDER))
    assert sorted(name.lower() for name in message if not name.lower().startswith("content")) == [
        "auto-submitted",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
    ]


@pytest.mark.parametrize("address", ["", "nobody", "a@b\r\nBcc: c@d", "a@b, c@d", "a b@c", "<a@b>"])
def test_a_malformed_recipient_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(Rejected, match="name@host"):
        compose(letter(to=(address,)), SENDER)


@pytest.mark.parametrize("message_id", ["", "plan-7@x", "<plan 7@x>", "<a@b>\r\nBcc: c@d"])
def test_a_malformed_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(Rejected, match="Message-ID"):
        compose(letter(message_id=message_id), SENDER)


def test_a_letter_to_nobody_is_refused() -> None:
    with pytest.raises(Rejected):
        compose(letter(to=()), SENDER)


def test_unencrypted_mail_stays_on_this_machine() -> None:
    with pytest.raises(Fatal, match="unencrypted"):
        SmtpSender(SmtpSettings(host="mail.house.example", sender=SENDER, security="none"))  # type: ignore[arg-type] # text as a setting gives it


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(SmtpSettings(host="h", sender=SENDER, username="u", password="hush"))
