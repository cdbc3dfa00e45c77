"""Damaged deliveries: valid files of every layout with bytes flipped, cut, repeated or spliced, plain and packed.

One seed is one file. Whatever it holds, the intake gives a verdict, and a rejected file gives no row. Cells are of any
kind; of every fifth seed they fit their columns, and the file is judged beside the one before.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

from connectors.csv_feed.contract import Verdict
from connectors.csv_feed.reader import FeedRefused
from connectors.csv_feed.tally import DeliveryFacts
from jobs.feeds import SCHEMAS
from jobs.intake import judge
from jobs.tables import arrow_schema
from mappings.policy import Mappings
from mappings.schema import FeedLayout

AS_OF = "2026-01-15"
_SPICE = (
    b'"', b"\n", b"\r\n", b",", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\x93", b"=1+1", b"1E+05", b"N/A (cleared)",
    b"(no change)", b"9" * 40, b"-", b"\t", b"'", b"\x85", b"\xe2\x80\xa8", b"2026-02-30", b"110%", b"nan", b"1e999",
)  # fmt: skip
_TEXTS = ("Hays", "Mercy Hospital", "KS", "Zoë & Söhne", "x" * 60)
_FITTING = {
    "id": ("100200", "05E001", "200300", ""),
    "integer": ("1", "1,204", "30", ""),
    "money": ("$1,200", "(3)", "1200.50", ""),
    "percent": ("33.3%", "33.4", "33", ""),
    "date": ("2025-07-01", "7/15/2025", ""),
    "yes_no": ("Yes", "no", ""),
    "rural_urban": ("Rural", "Urban", ""),
    "person": ("a@example.com", "b@example.com"),
}
_CELLS = ("", "1", "Hays", "KS", "67601", "2025-07-01", "12.5%", "$1,200", "(3)", "Yes", "http://m.org", "1E+05", " ")


def fuzz(mappings: Mappings, folder: Path, seed: int) -> str:
    """The verdict on the file of that seed. Raises whatever the intake lets through, and AssertionError."""
    dice = random.Random(seed)
    layout = dice.choice(sorted(mappings.feeds.values(), key=lambda one: one.feed))
    if layout.rows == "firm" and dice.random() < 0.5:
        words = {"clear_words": ("N/A (cleared)",), "same_words": ("(no change)",)}
        layout = layout.model_copy(update=words)
    fitting = seed % 5 == 0
    last = _last(layout, folder, seed) if fitting else None
    made = _fitting(layout, random.Random(seed), skewed=dice) if fitting else _delivery(layout, dice)
    content = _damaged(made, dice) if dice.random() < 0.9 else dice.randbytes(dice.randrange(200))
    content = made if fitting and dice.random() < 0.5 else content
    suffix, pack = dice.choice(sorted(_PACKED.items()))
    path = folder / f"fuzz{suffix}"
    path.write_bytes(pack(content, dice))
    encoding = dice.choice(("", "utf-8", "cp1252", "latin-1"))
    judged = judge(path, layout, as_of=AS_OF, encoding=encoding, previous=last)
    schema = arrow_schema(SCHEMAS[layout.rows])
    try:
        kept = sum(batch.num_rows for batch in judged.batches(schema, lambda firm_id: {"phone": firm_id}))
    except FeedRefused as refused:
        return refused.problem.code
    intake = judged.intake()
    rejected = intake.verdict is Verdict.REJECT_FILE
    assert kept == (0 if rejected else intake.rows_seen - intake.rows_set_aside - len(judged.delivery.repeats))
    assert all(str(problem).startswith(path.name) for problem in intake.problems)
    assert bool(intake.problems) or not rejected
    return str(intake.verdict)


def _delivery(layout: FeedLayout, dice: random.Random) -> bytes:
    """A file whose header the layout knows, with cells of many kinds."""
    used = [column for column in layout.fields.values() if column.required or dice.random() < 0.7]
    header = [dice.choice(column.columns) for column in used]
    lines = [",".join(f'"{name}"' for name in header)]
    for number in range(dice.randrange(0, 30)):
        cells = [str(number) if place == 0 else dice.choice(_CELLS) for place in range(len(header))]
        lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    return ("\n".join(lines) + "\n").encode()


def _last(layout: FeedLayout, folder: Path, seed: int) -> DeliveryFacts | None:
    """The facts of the delivery before, whole."""
    path = folder / "last.csv"
    path.write_bytes(_fitting(layout, random.Random(seed)))
    return judge(path, layout, as_of="2025-12-15").delivery.facts


def _fitting(layout: FeedLayout, dice: random.Random, *, skewed: random.Random | None = None) -> bytes:
    """A file whose cells fit; the same for the same dice, but where `skewed` says otherwise."""
    columns = [column for column in layout.fields.values() if column.required or dice.random() < 0.7]
    header = [column.columns[0] for column in columns]
    rows = [
        [
            f"k{number}" if place == 0 else dice.choice(_FITTING.get(column.format, _TEXTS))
            for place, column in enumerate(columns)
        ]
        for number in range(dice.randrange(20, 40))
    ]
    kind = skewed.randrange(5) if skewed is not None else 4
    if skewed is not None and kind < 4:
        at = skewed.randrange(len(header))
        _skew(rows, at, kind)
        header[at] = header[at].upper() if skewed.random() < 0.5 else header[at]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()


def _skew(rows: list[list[str]], at: int, kind: int) -> None:
    """One column is blank, a word, all one value, or the row above."""
    cells = [row[at] for row in rows]
    changed = ["" for _ in rows], ["N/A" for _ in rows], [cells[0] for _ in rows], [*cells[-1:], *cells[:-1]]
    for row, cell in zip(rows, changed[kind], strict=True):
        row[at] = cell


def _damaged(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(dice.randrange(0, 6)):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(5)
        if kind == 0:
            data[at:at] = dice.choice(_SPICE)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            del data[at : at + dice.randrange(1, 80)]
        elif kind == 3:
            data[at:at] = data[at : at + dice.randrange(1, 80)] * dice.randrange(1, 4)
        else:
            del data[at:]
    return bytes(data)


def _plain(content: bytes, _: random.Random) -> bytes:
    return content


def _gzipped(content: bytes, dice: random.Random) -> bytes:
    packed = gzip.compress(content, mtime=0)
    return packed if dice.random() < 0.5 else _damaged(packed, dice)


def _zipped(content: bytes, dice: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name in dice.choice((("a.csv",), ("a.csv",), ("a.csv",), ("../a.csv",), ("a.csv", "b.csv"), ())):
            archive.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue() if dice.random() < 0.5 else _damaged(made.getvalue(), dice)


_PACKED: dict[str, Callable[[bytes, random.Random], bytes]] = {".csv": _plain, ".csv.gz": _gzipped, ".zip": _zipped}
