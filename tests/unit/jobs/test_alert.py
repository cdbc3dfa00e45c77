"""Letters show what a CRM calls things, and are not written by it."""

from __future__ import annotations

from jobs.alert import templates

HOSTILE = "Mercy\r\nRun R-9, plan P-9: 0 moves\x1b[2J\u202e <img src=x onerror=alert(1)> {{ 7 * 7 }}"


def _lines(name: str) -> str:
    return (
        templates()
        .get_template(name)
        .render(
            subject=HOSTILE,
            plan_id="P-1",
            run_id="R-1",
            guards=[
                {
                    "guard": "any_field",
                    "subject": HOSTILE,
                    "measured": 1,
                    "population": 9,
                    "limit": 0,
                    "unit": "",
                    "message": HOSTILE,
                }
            ],
            more=0,
            rules="abc",
            who="an approver",
        )
    )


def test_a_name_makes_no_line_of_its_own_in_a_letter() -> None:
    text = _lines("guard-stop.txt.j2")
    assert "Mercy Run R-9" in text
    assert [line for line in text.splitlines() if line.startswith("Run R-9")] == []
    assert not {"\x1b", "\r", "\u202e"} & set(text)
    assert "{{ 7 * 7 }}" in text


def test_a_name_is_text_in_a_page() -> None:
    page = _lines("guard-stop.html.j2")
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "\x1b" not in page
