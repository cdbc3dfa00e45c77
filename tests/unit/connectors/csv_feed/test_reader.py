"""The reader gives exact rows or refuses with file and line."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.csv_feed.reader import FeedRefused, FeedRow, Format, Severity, open_feed


def read(path: Path, **fmt: str) -> tuple[tuple[str, ...], list[FeedRow]]:
    with open_feed(path, Format(**fmt)) as reader:
        return reader.header, list(reader)


def refusal(path: Path, **fmt: str) -> tuple[str, int | None]:
    with pytest.raises(FeedRefused) as caught:
        read(path, **fmt)
    assert caught.value.problem.severity is Severity.REJECT
    assert caught.value.problem.file == path.name
    return caught.value.problem.code, caught.value.problem.line


def put(folder: Path, content: bytes, name: str = "feed.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_rows_carry_their_number_line_and_text(tmp_path: Path) -> None:
    path = put(tmp_path, b'A,B\r\n1,"x\r\ny"\r\n\r\n2,z\r\n')
    header, rows = read(path)
    assert header == ("A", "B")
    assert [(row.number, row.line, dict(row.values)) for row in rows] == [
        (1, 2, {"A": "1", "B": "x\r\ny"}),
        (2, 5, {"A": "2", "B": "z"}),
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_header(tmp_path: Path) -> None:
    header, _ = read(put(tmp_path, b"\xef\xbb\xbfA,B\n1,2\n"))
    assert header == ("A", "B")


def test_the_declared_encoding_is_used(tmp_path: Path) -> None:
    _, rows = read(put(tmp_path, "A\nÉvora\n".encode("cp1252")), encoding="cp1252")
    assert rows[0].values == {"A": "Évora"}


def test_leading_zeros_and_blanks_in_cells_are_kept(tmp_path: Path) -> None:
    _, rows = read(put(tmp_path, b"A,B\n007, x \n"))
    assert rows[0].values == {"A": "007", "B": " x "}


@pytest.mark.parametrize(
    ("content", "expected"),
    {
        "nothing at all": (b"", ("empty_file", None)),
        "bytes of another encoding": (b"A\nx\n\xc9vora\n", ("undecodable", 3)),
        "UTF-16": ("A,B\n1,2\n".encode("utf-16"), ("foreign_encoding", 1)),
        "UTF-32": ("A,B\n1,2\n".encode("utf-32"), ("foreign_encoding", 1)),
        "a NUL byte": (b"A,B\n1,2\n1,\x002\n", ("nul_byte", 3)),
        "a header twice": (b"A,B,A\n1,2,3\n", ("duplicated_header", 1)),
        "a quote that never closes": (b'A,B\n1,2\n3,"4\n5,6\n', ("broken_quoting", 3)),
        "a quote closed by a later one": (b'A,B\n1,"x\n2,"y"\n', ("broken_quoting", 2)),
        "whole rows inside one quoted cell": (b'A,B\n1,"x\n2,y\n3,z"\n', ("broken_quoting", 2)),
        "a quoted cell over lines in a ragged row": (b'A,B\n1,"x\ny",2\n', ("broken_quoting", 2)),
    }.values(),
    ids=str,
)
def test_what_cannot_be_read_exactly_is_refused(
    tmp_path: Path, content: bytes, expected: tuple[str, int | None]
) -> None:
    assert refusal(put(tmp_path, content)) == expected


def test_an_open_quote_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = put(tmp_path, b'A,B\n1,"' + b"x" * 79 + (b"\n" + b"y" * 79) * 400_000)
    tracemalloc.start()
    try:
        assert refusal(path)[0] in {"record_too_long", "broken_quoting"}
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_long_file_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(b"A,B\n")
        for number in range(40_000):
            out.write(b"%d,%d some words to fill the row up to a usual size\n" % (number, number * 7919))
    tracemalloc.start()
    try:
        with open_feed(path, Format()) as reader:
            assert sum(1 for _ in reader) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_a_ragged_row_is_marked_and_the_rest_read(tmp_path: Path) -> None:
    _, rows = read(put(tmp_path, b"A,B\n1\n2,3\n4,5,6\n"))
    assert [(row.found, row.ragged) for row in rows] == [(1, True), (2, False), (3, True)]


def test_rows_without_any_text_are_no_rows(tmp_path: Path) -> None:
    _, rows = read(put(tmp_path, b"A,B\n1,2\n,\n\n , \n3,4\n,,,\n"))
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 6)]


def test_a_compressed_file_is_read_like_a_plain_one(tmp_path: Path) -> None:
    header, rows = read(put(tmp_path, gzip.compress(b"A,B\n1,2\n"), "feed.csv.gz"))
    assert header == ("A", "B")
    assert rows[0].values == {"A": "1", "B": "2"}


def test_a_compressed_file_cut_short_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"A,B\n" + b"".join(b"%d,x\n" % n for n in range(5000)))
    assert refusal(put(tmp_path, whole[:-200], "feed.csv.gz"))[0] == "damaged_file"
    assert refusal(put(tmp_path, b"not gzip", "other.csv.gz"))[0] == "damaged_file"


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(b"A,B\n" + (b"1," + b"2" * 9_999 + b"\n") * 1_800, compresslevel=9)
    assert refusal(put(tmp_path, bomb, "feed.csv.gz"))[0] == "decompression_bomb"


def test_a_file_over_the_size_limit_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, b"A,B\n" + b"1,2\n" * 100)
    with pytest.raises(FeedRefused, match="more than 50 bytes"), open_feed(path, Format(), max_bytes=50) as reader:
        list(reader)


@pytest.mark.parametrize("encoding", ["utf-16", "cp037", "no-such-codec", "hex"])
def test_an_encoding_that_is_not_an_extension_of_ascii_is_refused(tmp_path: Path, encoding: str) -> None:
    assert refusal(put(tmp_path, b"A\n1\n"), encoding=encoding)[0] == "bad_encoding"


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.csv") == ("unreadable", None)


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_file(tmp_path: Path) -> None:
    path = put(tmp_path, b"A\n1\n")
    with pytest.raises(OSError, match="disk full"), open_feed(path, Format()):
        raise OSError("disk full")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(alphabet='a1,"\n\r\0é=', max_size=200).map(str.encode),
    ),
    compressed=st.booleans(),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, compressed: bool) -> None:
    path = put(tmp_path, content, "feed.csv.gz" if compressed else "feed.csv")
    try:
        header, rows = read(path)
    except FeedRefused:
        return
    assert all(row.ragged or tuple(row.values) == header for row in rows)
