"""The mail sink keeps mails, refuses them, and hangs up."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from sandbox.smtp import MailSink, Refusal


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with MailSink() as running:
        yield running


def send(sink: MailSink, subject: str = "Grüße") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@people.example", "b@people.example", subject
    message["Message-ID"] = "<one@people.example>"
    message.set_content("plain text")
    message.add_alternative("<p>rich text</p>", subtype="html")
    message.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename="changes.csv")
    with smtplib.SMTP(sink.host, sink.port, timeout=5) as connection:
        connection.send_message(message, to_addrs=["b@people.example", "c@people.example"])


def test_a_mail_is_kept_with_its_envelope_and_parts(sink: MailSink) -> None:
    send(sink)
    [mail] = sink.messages
    shown = mail.as_dict()
    assert (shown["sender"], shown["recipients"]) == ("a@people.example", ["b@people.example", "c@people.example"])
    assert (shown["subject"], shown["message_id"]) == ("Grüße", "<one@people.example>")
    assert (shown["text"].strip(), shown["html"].strip()) == ("plain text", "<p>rich text</p>")
    assert shown["attachments"] == ["changes.csv"]


@pytest.mark.parametrize(("refusal", "code"), [(Refusal.LATER, 451), (Refusal.NEVER, 554)])
def test_a_mail_is_refused_so_often_and_then_kept(sink: MailSink, refusal: Refusal, code: int) -> None:
    sink.refuse(refusal, times=2)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPDataError) as caught:
            send(sink)
        assert caught.value.smtp_code == code
    send(sink)
    assert len(sink.messages) == 1


def test_the_sink_hangs_up_without_keeping(sink: MailSink) -> None:
    sink.refuse(Refusal.HANG_UP)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(sink)
    assert sink.messages == []


def test_the_sink_hangs_up_after_keeping(sink: MailSink) -> None:
    sink.refuse(Refusal.KEEP_THEN_HANG_UP)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(sink)
    assert len(sink.messages) == 1


def test_clearing_forgets_mails_and_refusals(sink: MailSink) -> None:
    send(sink)
    sink.refuse(Refusal.NEVER)
    sink.clear()
    send(sink)
    assert len(sink.messages) == 1


def test_a_port_that_is_taken_is_an_error_and_stopping_twice_is_none(sink: MailSink) -> None:
    second = MailSink(port=sink.port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.stop()
    sink.stop()
    sink.stop()
