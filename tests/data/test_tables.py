"""Rows come out of every format alike, whole or in pieces, and what is damaged is named with its place."""

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from mixlingual.data.tables import Piece, Table, is_table, pieces, rows
from mixlingual.records import DataError

TABLE = Table(known=("query",))
NAMES = ("query", "passage")
TEXTS = [(f"q{n} é", "a tab and a line end" if n % 3 else 'p "quoted", so; so') for n in range(50)]
ENDINGS = (
    ".jsonl", ".ndjson", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz", ".parquet", ".arrow", ".feather",
    "-s.arrow",
)  # fmt: skip


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


def write(path, texts=TEXTS, names=NAMES):
    """Writes pairs of texts in the format of the file's name."""
    name = path.name.removesuffix(".gz")
    if name.endswith(("jsonl", "ndjson")):
        content = "".join(json.dumps(dict(zip(names, pair)), ensure_ascii=False) + "\n" for pair in texts)
    elif name.endswith("csv"):
        content = "".join(",".join(map(quoted, pair)) + "\r\n" for pair in (names, *texts))
    elif name.endswith("tsv"):
        content = "".join("\t".join(pair) + "\n" for pair in (names, *texts))
    else:
        table = pyarrow.table(dict(zip(names, map(list, zip(*texts)))))
        if name.endswith("parquet"):
            pyarrow.parquet.write_table(table, path, row_group_size=7)
        else:
            new = pyarrow.ipc.new_stream if "-s." in name else pyarrow.ipc.new_file
            with new(str(path), table.schema) as file:
                file.write_table(table, max_chunksize=7)
        return path
    content = content.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_rows_whole_and_in_pieces(tmp_path, ending):
    path = write(tmp_path / f"x{ending}")
    whole = list(rows(Piece(path), TABLE))
    assert [tuple(row.values()) for _, row in whole] == TEXTS
    assert {tuple(row) for _, row in whole} == {NAMES}
    for size in (1, 7, 10, 1000):
        parts = list(pieces(path, TABLE, size))
        assert [row for part in parts for row in rows(part, TABLE)] == whole
        found = [len(list(rows(part, TABLE))) for part in parts]
        starts = [sum(found[:n]) for n in range(len(parts))]
        assert ending == ".tsv" or [part.before for part in parts] == starts, "a line of TSV is the header"
        if not ending.endswith((".gz", "csv")):
            assert (len(parts) > 1) is (size < len(TEXTS))


@pytest.mark.parametrize("ending", [".jsonl", ".tsv"])
def test_blank_last_lines_count_for_nothing_wherever_a_file_is_cut(tmp_path, ending):
    path = write(tmp_path / f"x{ending}")
    whole = list(rows(Piece(path), TABLE))
    path.write_bytes(path.read_bytes() + b"\r\n \n\n")
    for size in (1, 2, 51, 52, 53):
        assert [row for part in pieces(path, TABLE, size) for row in rows(part, TABLE)] == whole
    path.write_bytes(path.read_bytes() + b"x")
    for size in (1, 2, 51, 52, 53):
        with pytest.raises(DataError, match=r"line 5[12]: the line is blank, and others follow"):
            [row for part in pieces(path, TABLE, size) for row in rows(part, TABLE)]


def test_the_first_line_is_a_header_where_it_names_a_column_or_is_said_to(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("\ufeffQuery\tb\nc\td\n", encoding="utf-8")
    assert [row for _, row in rows(Piece(path), TABLE)] == [{"Query": "c", "b": "d"}]
    assert [row for _, row in rows(Piece(path), Table(header=False))] == [
        {"1": "Query", "2": "b"},
        {"1": "c", "2": "d"},
    ]
    path.write_text("a\tb\nc\td\n", encoding="utf-8")
    assert len(list(rows(Piece(path), TABLE))) == 2
    assert [row for _, row in rows(Piece(path), Table(header=True))] == [{"a": "c", "b": "d"}]


def test_quotes_and_delimiters_are_those_of_the_format_or_said(tmp_path):
    path = tmp_path / "x.csv"
    for delimiter in ",;\t|":
        path.write_text(f'query{delimiter}b\n"a ""x""\n\n{delimiter}"{delimiter}d\n', encoding="utf-8")
        assert list(rows(Piece(path), TABLE)) == [(f"{path}, line 2", {"query": f'a "x"\n\n{delimiter}', "b": "d"})]
    path = tmp_path / "x.tsv"
    path.write_text('query\tb\n"a "" \t"d\r\n', encoding="utf-8")
    assert [row for _, row in rows(Piece(path), TABLE)] == [{"query": '"a "" ', "b": '"d'}]
    path.write_text('query\tb\n"a\t"" "\td\n', encoding="utf-8")
    assert [row for _, row in rows(Piece(path), Table(quotes=True, known=("query",)))] == [{"query": 'a\t" ', "b": "d"}]


def test_nested_values_nulls_and_maps_of_parquet_come_as_in_json(tmp_path):
    path = tmp_path / "x.parquet"
    columns = {
        "query": pyarrow.array([[("en", "q")], None], pyarrow.map_(pyarrow.string(), pyarrow.string())),
        "passage": [{"en": "p", "de": None}, {"en": None, "de": "d"}],
        "negatives": [["a", "b"], []],
        "id": [1, None],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert [row for _, row in rows(Piece(path), TABLE)] == [
        {"query": {"en": "q"}, "passage": {"en": "p", "de": None}, "negatives": ["a", "b"], "id": 1},
        {"query": None, "passage": {"en": None, "de": "d"}, "negatives": [], "id": None},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"query,b\n1\n", ", line 2: got 1 cells, where the first line has 2; put a cell .* in double quotes"),
        ("x.tsv", b"query\tb\n1\t2\n1\t2\t3\n", ", line 3: got 3 cells, .* take tabs out of the texts, or set"),
        ("x.csv", b'query,b\n1,2\n"1\n,2\n', ", line 3: the row is no valid CSV .* close each double quote"),
        ("x.csv", b'query,b\n1,"2"3\n', ", line 2: the row is no valid CSV"),
        ("x.csv", b"query,b\n1,2\n,\n\n3,4\n", ", line 3: the row is blank, and others follow"),
        ("x.csv", b"query,b\n1,\xff\n", ", line 2: the line is not valid Unicode"),
        ("x.csv", b"query,query\n1,2\n", r", line 1: the columns are \[.*; each needs a name of its own"),
        ("x.csv", b"", ", line 1: the first line is empty"),
        ("x.jsonl", b"[1]\n", r", line 1: got \[1\], not an object; write each row as one line"),
        ("x.parquet", b"PAR1 nothing", " cannot be read .* damaged or cut short"),
        ("x.arrow", b"nothing", " cannot be read .* damaged or cut short"),
        ("x.parquet", b"version https://git-lfs.github.com/spec/v1\n", ", line 1: the file is a Git LFS pointer"),
        ("x.xlsx", b"", " is of no format that is read: its name must end in .jsonl"),
        ("x.parquet.gz", b"", " is of no format that is read"),
    ],
)
def test_what_is_damaged_is_named_with_its_place(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    for size in (1, 100):
        with pytest.raises(DataError, match=f"^{path}{message}"):
            [row for part in pieces(path, TABLE, size) for row in rows(part, TABLE)]


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".csv", ".jsonl.gz"])
def test_missing_and_cut_files_are_named(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    with pytest.raises(DataError, match=f"{path} is missing"):
        list(rows(Piece(path), TABLE))
    write(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=str(path)):
        list(rows(Piece(path), TABLE))


def test_what_a_folder_holds_beside_tables_is_none(tmp_path):
    names = ("a.csv", "b.JSONL.gz", ".c.csv", "README.md", "d.json", "e.parquet", "LICENSE", "f.arrow.gz")
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "g.csv").mkdir()
    assert [path.name for path in sorted(tmp_path.iterdir()) if is_table(path)] == ["a.csv", "b.JSONL.gz", "e.parquet"]
