"""Archives: one member, read in place, guarded against bombs, paths and passwords."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from connectors.csv_feed.reader import MAX_RATIO, RATIO_FREE_BYTES, FeedRefused, Format, open_feed

TEXT = b"A,B\n1,2\n3,4\n"


def _zip(path: Path, members: dict[str, bytes], *, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _cells(path: Path) -> list[list[str]]:
    with open_feed(path, Format()) as reader:
        return [list(row.values.values()) for row in reader]


def _code(path: Path) -> str:
    with pytest.raises(FeedRefused) as refused:
        _cells(path)
    assert str(refused.value).startswith(path.name)
    return refused.value.problem.code


def test_a_zip_with_one_member_reads_like_the_plain_file(tmp_path: Path) -> None:
    assert _cells(_zip(tmp_path / "a.zip", {"folder/": b"", "folder/a.csv": TEXT})) == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"a.csv": TEXT, "b.csv": TEXT}, id="two files"),
        pytest.param({"../a.csv": TEXT}, id="a path that climbs"),
        pytest.param({"/etc/a.csv": TEXT}, id="an absolute path"),
        pytest.param({"..\\a.csv": TEXT}, id="a path of Windows"),
        pytest.param({"C:\\a.csv": TEXT}, id="a drive"),
        pytest.param({"a.csv.gz": gzip.compress(TEXT)}, id="an archive in an archive"),
    ],
)
def test_a_zip_with_anything_else_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    assert _code(_zip(tmp_path / "a.zip", members)) == "bad_archive"


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"a.csv": TEXT}, packing=zipfile.ZIP_STORED)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + 8] |= 1  # the flag in the list of members
    path.write_bytes(damaged)
    assert _code(path) == "bad_archive"


@pytest.mark.parametrize("cut", [3, 10, 40, 60])
def test_a_damaged_zip_is_refused(tmp_path: Path, cut: int) -> None:
    path = _zip(tmp_path / "a.zip", {"a.csv": TEXT})
    path.write_bytes(path.read_bytes()[:-cut])
    assert _code(path) == "damaged_file"


def test_bytes_changed_inside_a_zip_are_noticed(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"a.csv": TEXT}, packing=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"3,4", b"3,5"))
    assert _code(path) == "damaged_file"


def test_a_list_of_members_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"a.csv": TEXT})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x05\x06")
    content[at + 12 : at + 16] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    assert _code(path) == "bad_archive"


@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_a_bomb_is_stopped_after_a_bounded_number_of_bytes(tmp_path: Path, kind: str) -> None:
    line = b"1," + b"2" * 1020 + b"\n"
    content = b"A,B\n" + line * (2 * RATIO_FREE_BYTES // len(line))
    path = tmp_path / f"bomb.{kind}"
    if kind == "gz":
        path.write_bytes(gzip.compress(content))
    else:
        _zip(path, {"a.csv": content})
    assert len(content) > MAX_RATIO * path.stat().st_size
    assert _code(path) == "decompression_bomb"
