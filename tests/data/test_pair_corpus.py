"""Rows of pairs become items: as they are, joined by id, by query and passage, or by line over files."""

import json
import logging

import pyarrow
import pyarrow.parquet
import pytest

from mixlingual.config.schema import DataConfig, PairsConfig, SourceConfig
from mixlingual.data.registry import load_corpus
from mixlingual.records import DataError, ParallelItem, fingerprint


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def write(path, *lines):
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
    return path


def load(root, sources=None, languages=None, exclude=(), **pairs):
    config = DataConfig(
        name="pairs", root=str(root), sources=sources or {}, languages=languages, exclude=list(exclude),
        pairs=PairsConfig(**pairs),
    )  # fmt: skip
    return load_corpus(config)


def test_plain_rows_are_items_in_the_order_of_the_files(folder):
    write(folder / "b.en.csv", "question,answer", "q1,p1", "q1,p1")
    write(folder / "a.de.tsv", "question\tanswer", "q2\tp2")
    corpus = load(folder)
    assert list(corpus.items) == [
        ParallelItem("a.de.tsv, line 2", "data", {"de": "q2"}, {"de": "p2"}),
        ParallelItem("b.en.csv, line 2", "data", {"en": "q1"}, {"en": "p1"}),
        ParallelItem("b.en.csv, line 3", "data", {"en": "q1"}, {"en": "p1"}),
    ]
    assert (corpus.name, corpus.languages, corpus.source_weights) == ("data", ("de", "en"), {"data": 3.0})
    assert corpus.fingerprint == fingerprint(json.dumps([i.id, i.query, i.passage]) for i in corpus.items)


def test_files_of_several_languages_are_joined_by_id(folder):
    for code, ids in (("en", (1, 2, 3)), ("de", (3, 1)), ("fr", (2,))):
        rows = [{"id": i, "query": f"q{i}{code}", "passage": f"p{i}{code}", "neg": [f"n{i}{code}"]} for i in ids]
        write(folder / f"x.{code}.jsonl", *rows)

    def texts(kind, i, codes):
        return {code: f"{kind}{i}{code}" for code in codes.split()}

    found = {item.id: item for item in load(folder).items}
    assert found == {
        i: ParallelItem(i, "data", texts("q", i, codes), texts("p", i, codes), (texts("n", i, codes),))
        for i, codes in (("1", "en de"), ("2", "en fr"), ("3", "en de"))
    }
    assert {item.id: set(item.query) for item in load(folder, languages=["fr", "de"]).items} == {
        "1": {"de"}, "2": {"fr"}, "3": {"de"},
    }  # fmt: skip


def test_rows_of_one_query_and_passage_are_one_item_with_all_negatives(folder):
    write(folder / "x.tsv", "a\tb\tn1", "c\td\tn1", "a\tb\tn2", "a\tb\tn1", "a\te\tn3")
    items = list(load(folder / "x.tsv", language="en").items)
    assert [(item.id, item.passage["en"], [n["en"] for n in item.negatives]) for item in items] == [
        ("x.tsv, line 1", "b", ["n1", "n2"]), ("x.tsv, line 2", "d", ["n1"]), ("x.tsv, line 5", "e", ["n3"]),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["tsv", "parquet", "csv"])
def test_files_are_joined_by_line_and_then_by_query_and_passage(folder, kind):
    for code in ("en", "de"):
        rows = [(f"q{i // 2}{code}", f"p{i // 2}{code}", f"n{i}{code}") for i in range(6)]
        if kind == "parquet":
            table = pyarrow.table(dict(zip(("query", "positive", "negative"), map(list, zip(*rows)))))
            pyarrow.parquet.write_table(table, folder / f"{code}.parquet", row_group_size=3 if code == "en" else 4)
        else:
            write(folder / f"{code}.{kind}", *(("\t" if kind == "tsv" else ",").join(row) for row in rows))
    items = list(load(folder, by_line=True, header=False if kind != "parquet" else None).items)
    assert [(item.query, item.passage, item.negatives) for item in items] == [
        (
            {"de": f"q{i}de", "en": f"q{i}en"},
            {"de": f"p{i}de", "en": f"p{i}en"},
            tuple({"de": f"n{n}de", "en": f"n{n}en"} for n in (2 * i, 2 * i + 1)),
        )
        for i in range(3)
    ]


def test_long_files_are_joined_by_line_in_stretches(folder, monkeypatch):
    monkeypatch.setattr("mixlingual.data.sources.pair_corpus.PART_ROWS", 7)
    for code in ("en", "de"):
        write(folder / f"{code}.jsonl", *({"query": f"q{i}{code}", "passage": f"p{i}{code}"} for i in range(50)))
    assert [item.query for item in load(folder, by_line=True).items] == [
        {"de": f"q{i}de", "en": f"q{i}en"} for i in range(50)
    ]


def test_sources_have_shapes_weights_and_ids_of_their_own(folder):
    write(folder / "en.csv", "id,question,answer", "1,a,b")
    write(folder / "p.jsonl", {"id": "1", "query": {"en": "c", "de": "d"}, "passage": {"en": "e", "de": "f"}})
    write(folder / "unread.txt", "x")
    sources = {"s": SourceConfig(["en.csv"], 3.0), "p": SourceConfig(["p*"], pairs=PairsConfig(language="de"))}
    corpus = load(folder, sources)
    assert {(item.id, item.source) for item in corpus.items} == {("p/1", "p"), ("s/1", "s")}
    assert corpus.source_weights == {"p": 1.0, "s": 3.0}
    assert [item.id for item in load(folder, exclude=["p.*"]).items] == ["1"]


def test_what_was_understood_is_said_before_anything_is_written(folder, caplog, tmp_path):
    write(folder / "a.en.csv", "question,answer,negative", "q,p,n", "q,p,")
    with caplog.at_level(logging.INFO):
        load(folder)
    assert caplog.messages[:2] == [
        "data: a.en.csv: query=question, passage=answer, negatives=negative, id=none, language=en",
        f'{folder}/a.en.csv, line 2, with 1 negatives: en "q" | en "p"',
    ]


@pytest.mark.parametrize(
    ("files", "config", "message"),
    [
        (
            {"en.csv": "id,query,passage\n1,a,b\n2,c,d\n1,a,e\n"}, {},
            r"en.csv, line 4: the id '1' has the passage \"e\" in en, and \"b\" in .*en.csv, line 2; an id stands",
        ),
        (
            {"en.csv": "query,passage\na,b\n", "de.csv": "query,passage\na,b\nc,d\n"}, {"by_line": True},
            r"de.csv, line 3: .*en.csv has no row for this one; with data.pairs.by_line",
        ),
        (
            {"en.csv": "query,passage\na,b\n", "x.en.csv": "query,passage\na,b\n"}, {"by_line": True},
            r"x.en.csv, line 2: it has en again, as the row that it is joined to by line, .*en.csv, line 2",
        ),
        (
            {"en.csv": "id,query,passage\n1,a,b\n", "de.csv": "id,query,passage\n2,a,b\n"}, {"by_line": True},
            r"en.csv, line 2: it has the id 1, not 2",
        ),
        ({"en.csv": "query,passage\na,b\n"}, {"languages": ["fr"]}, r"data.languages names fr, in which .* hold en:"),
        ({"en.csv": "query,passage\na,b\n"}, {"languages": []}, r"data.languages is empty"),
        ({"en.csv": "query,passage\na,b\n"}, {"exclude": ["*"]}, r"data: data.exclude leaves none of its 1 files"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(folder, files, config, message):
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load(folder, **config)


def test_a_column_of_negatives_that_comes_late_is_not_overlooked(folder):
    rows = [{"query": f"{i}", "passage": "p"} for i in range(200)]
    rows[150]["negatives"] = ["n"]
    write(folder / "en.jsonl", *rows)
    with pytest.raises(DataError, match=r"line 151: there is a column negatives, which none of the first 100 rows has"):
        load(folder)


def test_a_pinned_hub_data_set_is_not_asked_for_again(folder, monkeypatch):
    calls = []

    def fetched(config):
        calls.append(config.revision)
        return [write(folder / "set-train.csv", "question,answer", "a,b")]

    monkeypatch.setattr("mixlingual.data.sources.pair_corpus.hub_files", fetched)
    for revision, times in (("0" * 40, 1), ("main", 2)):
        calls.clear()
        for _ in range(2):
            config = PairsConfig(hub="owner/set", revision=revision, language="en")
            corpus = load_corpus(DataConfig(name="pairs", pairs=config))
            assert [item.id for item in corpus.items] == ["set-train.csv, line 2"]
            assert corpus.name == "set"
        assert len(calls) == times
