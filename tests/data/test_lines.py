"""Lines of text files: what counts for nothing, and what is refused with its place."""

import gzip

import pytest

from mixlingual.data.lines import fields, json_lines, text_lines
from mixlingual.records import DataError


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["f.txt", "f.txt.gz"])
def test_marks_line_ends_and_blank_last_lines_count_for_nothing(tmp_path, name):
    path = write(tmp_path / name, b"\xef\xbb\xbfa b\r\n \xef\xbb\xbfc\n\r\n \t\n")
    assert list(text_lines(path)) == [(f"{path}, line 1", "a b"), (f"{path}, line 2", " \ufeffc")]
    assert list(text_lines(write(tmp_path / name, b""))) == []


def test_other_line_ends_are_part_of_a_text(tmp_path):
    path = write(tmp_path / "f", "a\u2028b\x85c\x1cd\re\n".encode())
    assert [text for _, text in text_lines(path)] == ["a\u2028b\x85c\x1cd\re"]
    assert fields("a\u00a0b\tc\x85d  e\x1cf\x0bg\n") == ["a\u00a0b", "c\x85d", "e\x1cf", "g"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\n\nb\n", "line 2: the line is blank, and others follow; take it out"),
        (b"a\n\xff\n", "line 2: the line is not valid Unicode"),
        ("a".encode("utf-16"), "line 1: the line is not valid Unicode"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "line 1: the file is a Git LFS pointer"),
    ],
)  # fmt: skip
def test_bad_lines_are_named(tmp_path, content, message):
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path}, {message}"):
        list(text_lines(path))


def test_missing_damaged_and_pointing_files_are_named(tmp_path):
    with pytest.raises(DataError, match="none is missing; see whether its folder is whole"):
        list(text_lines(tmp_path / "none"))
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d\n" % n for n in range(99)))[:-9])
    with pytest.raises(DataError, match=r"f.gz, line \d+: the file cannot be read on .*damaged or cut short"):
        list(text_lines(path))
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"f.gz, line 1: the file is a Git LFS pointer"):
        list(json_lines(path))
    with pytest.raises(DataError, match="cannot be read on"):
        list(text_lines(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "the line is not valid JSON .*; mend it"),
        ("[" * 100_000, "the line is not valid JSON"),
        ("null", "got missing or null, not an object; mend it"),
        ("[1]", r"got \[1\], not an object; mend it"),
        ('{"a": ["\\ud83d"]}', "the line is not valid Unicode .*half of a pair; mend it"),
    ],
)
def test_lines_that_are_no_objects_are_named(tmp_path, line, message):
    path = tmp_path / "f"
    path.write_text('{"a": "\\ud83d\\ude00"}\n' + line + "\n")
    rows = json_lines(path, "mend it")
    assert next(rows) == (f"{path}, line 1", {"a": "\U0001f600"})
    with pytest.raises(DataError, match=f"^{path}, line 2: {message}"):
        next(rows)
