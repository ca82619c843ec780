"""Rows of pairs are understood by names, by usual names and by order; what is malformed is named with its place."""

import json

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from mixlingual.config.schema import PairsConfig
from mixlingual.data.sources.pairs import Layout, files_under, hub_files, pair_rows
from mixlingual.records import DataError


def write(path, *lines):
    text = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    return path


def read(path, **config):
    return [(row.id, row.query, row.passage, list(row.negatives)) for row in pair_rows([path], PairsConfig(**config))]


def plain(path, **config):
    """Returns (query, passage, negatives) of each row, of one language."""
    return [
        (*row.query.values(), *row.passage.values(), [*(text for each in row.negatives for text in each.values())])
        for row in pair_rows([path], PairsConfig(**config))
    ]


@pytest.mark.parametrize(
    ("columns", "config"),
    [
        (["query", "passage", "negatives"], {}),
        (["negative", "answer", "question"], {}),
        (["anchor", "positive", "negative"], {}),
        (["id", "Query", "url", "Positive", "hard_negative"], {}),
        (["sentence_a", "sentence_b", "sentence_c"], {}),
        (["label", "premise", "score", "entailment", "other", "doc_id"], {}),
        (["text", "x", "y"], {"query": "y", "passage": "x", "negatives": ["t*"]}),
        (["text", "x", "y", "z"], {"query": "z", "negatives": ["y"]}),
    ],
)
def test_columns_are_named_or_known_or_in_the_order_of_sentence_transformers(tmp_path, columns, config):
    holds = {"q": ("query", "Query", "question", "anchor", "premise", "sentence_a"), "p": ("passage", "answer")}
    holds["p"] += ("positive", "Positive", "sentence_b", "entailment")
    numbers = {"id": 7, "doc_id": 8, "label": 1, "score": 0.5, "url": "http"}

    def value(name):
        if config:
            return {config.get("query"): "q", config.get("passage", "text"): "p"}.get(name, "n")
        return next((text for text, names in holds.items() if name in names), numbers.get(name, "n"))

    path = write(tmp_path / "x.jsonl", {name: value(name) for name in columns})
    assert plain(path, language="en", **config) == [("q", "p", ["n"])]


def test_negatives_are_columns_or_lists_and_may_be_missing(tmp_path):
    path = write(
        tmp_path / "x.jsonl",
        {"query": "a", "pos": "b", "neg": ["c", "d"]},
        {"query": "a", "pos": "b", "neg": []},
        {"query": "a", "pos": "b"},
        {"query": "a", "pos": "b", "neg": None},
    )
    assert [row[2] for row in plain(path, language="en")] == [["c", "d"], [], [], []]
    path = write(tmp_path / "x.csv", "query,passage,negative_1,negative_2", "a,b,c,d", "a,b,,d", "a,b,,")
    assert [row[2] for row in plain(path, language="en")] == [["c", "d"], ["d"], []]


def test_several_passages_that_answer_are_a_row_each(tmp_path):
    path = write(
        tmp_path / "x.jsonl",
        {"id": 3, "query": "a", "pos": ["b", "c"], "neg": ["d"]},
        {
            "id": "4", "query": "a", "pos": [{"docid": "9", "title": "T", "text": "b"}, {"text": "c"}],
            "neg": [{"title": "", "text": "d"}],
        },
    )  # fmt: skip
    assert [row[0] for row in read(path, language="en")] == ["3", "3/2", "4", "4/2"]
    assert plain(path, language="en") == [("a", x, ["d"]) for x in ("b", "c", "T b", "c")]


def test_languages_come_from_the_config_a_column_the_name_or_the_keys(tmp_path):
    pair = {"query": "a", "passage": "b"}

    def languages(name, row, **config):
        ((_, query, passage, negatives),) = read(write(tmp_path / name, row), **config)
        return "".join(query) + "-" + "".join(passage) + "".join("-" + "".join(each) for each in negatives)

    assert languages("x.jsonl", pair, language="de") == "de-de"
    assert languages("x.jsonl", pair, language="de", passage_language="fr") == "de-fr"
    assert languages("x.jsonl", pair | {"lang": "zh-Hans", "neg": "c"}) == "zh-Hans-zh-Hans-zh-Hans"
    assert languages("x.jsonl", pair | {"lang": "it"}, language="de") == "de-de"
    assert languages("x.jsonl", pair | {"lang": "it", "query_lang": "sw"}) == "sw-it"
    assert (
        languages("x.jsonl", pair | {"a": "it", "b": "sw"}, query_language_column="a", passage_language="de") == "it-de"
    )
    assert languages("train.ru.jsonl", pair) == "ru-ru"
    assert languages("mfaq_th-00001-of-2.jsonl", pair) == "th-th"
    assert languages("opus.en-el.jsonl", pair) == "en-el"
    assert languages("hi/train.jsonl", pair) == "hi-hi"
    assert languages("german_x.jsonl", pair, file_languages={"german_*": "de", "french_*": "fr"}) == "de-de"
    rows = write(
        tmp_path / "x.jsonl", {"query": {"en": "a", "de": "b"}, "passage": {"fr": "c"}, "negatives": [{"en": "n"}]}
    )
    assert read(rows) == [(None, {"en": "a", "de": "b"}, {"fr": "c"}, [{"en": "n"}])]
    nested = write(tmp_path / "x.jsonl", {"translation": {"en": "a", "de": "b"}})
    assert read(
        nested, query="translation.en", passage="translation.de", query_language="en", passage_language="de"
    ) == [(None, {"en": "a"}, {"de": "b"}, [])]


def test_what_was_understood_is_said_in_a_line(tmp_path):
    path = write(tmp_path / "x.en-de.csv", "id,question,answer,negative_1", "1,a,b,c")
    assert Layout.of(path, PairsConfig()).described() == (
        "query=question, passage=answer, negatives=negative_1, id=id, language=en (query), de (passage)"
    )
    path = write(tmp_path / "x.tsv", "a\tb")
    assert Layout.of(path, PairsConfig(language="en")).described() == "query=1, passage=2, id=none, language=en"


@pytest.mark.parametrize(
    ("row", "config", "message"),
    [
        ({"query": "", "passage": "b"}, {}, ', line 2: query is ""; it must be a text'),
        ({"query": " \t", "passage": "b"}, {}, ", line 2: query is "),
        ({"query": None, "passage": "b"}, {}, ", line 2: query is missing or null"),
        ({"query": 4, "passage": "b"}, {}, ", line 2: query is 4; it must be a text"),
        ({"query": "a", "passage": float("nan")}, {}, ", line 2: passage is NaN"),
        ({"query": "a", "passage": []}, {}, r", line 2: passage is \[\]; give it a passage"),
        ({"query": "a", "passage": ["b", ""]}, {}, ', line 2: passage is ""'),
        ({"query": "a"}, {}, ", line 2: passage is missing or null"),
        ({"query": {"en": "a", "x": "b"}, "passage": "b"}, {}, ", line 2: query has the key 'x'; keys are language"),
        ({"query": {"en": None}, "passage": "b"}, {}, ", line 2: query is .*in at least one language"),
        ({"query": "a", "passage": "b", "negatives": ["c", 7]}, {}, r", line 2: negatives\[1\] is 7"),
        ({"query": "a", "passage": "b", "negatives": {"text": None}}, {}, r", line 2: negatives.text is missing"),
        ({"query": "a", "passage": "b", "id": ""}, {}, ', line 2: id is ""; an id is a text that is not empty'),
        ({"query": "a", "passage": "b", "id": 1.5}, {}, ", line 2: id is 1.5"),
        ({"query": "a", "passage": "b", "id": True}, {}, ", line 2: id is true"),
        ({"query": "a", "passage": "b", "lang": "english"}, {"language": None}, ', line 2: lang is "english"; it'),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_with_its_place_or_counted(tmp_path, row, config, message):
    good = {"query": "a", "passage": "b", "id": 0, "negatives": [], "lang": "en"}
    path = write(tmp_path / "bad.jsonl", good, {"id": 1, "lang": "en"} | row, good | {"id": 2})
    config = PairsConfig(**({"language": "en"} | config))
    with pytest.raises(DataError, match=f"^{path}{message}"):
        list(pair_rows([path], config))
    refused = []
    assert [row.id for row in pair_rows([path], config, refused.append)] == ["0", "2"]
    assert len(refused) == 1
    assert str(refused[0]).startswith(f"{path}, line 2: ")


def test_places_in_parquet_are_row_groups_and_rows(tmp_path):
    path = tmp_path / "x.parquet"
    table = pyarrow.table({"query": ["a", "b", "c"], "passage": ["d", "e", None]})
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    with pytest.raises(DataError, match=f"^{path}, row group 2, row 1: passage is missing or null"):
        read(path, language="en")


@pytest.mark.parametrize(
    ("row", "config", "message"),
    [
        (
            {"query": "a", "passage": "b"},
            {},
            ": nothing says which language the column query is in.* set data.pairs.lang",
        ),
        ({"x": 1, "y": "b"}, {"language": "en"}, ": the columns are x, y; which hold queries and which passages"),
        (
            {"query": "a", "passage": "b"},
            {"language": "en", "id": "key"},
            ": data.pairs.id is 'key'; the columns are que",
        ),
        (
            {"query": "a", "passage": "b"},
            {"language": "en", "query": "q"},
            ": data.pairs.query is 'q'; the columns are",
        ),
        ({"query": "a", "passage": "b"}, {"language": "en", "negatives": ["n*"]}, r": data.pairs.negatives .*'n\*'"),
        (
            {"query": "a", "passage": "b"},
            {"file_languages": {"x*": "en", "*": "de"}},
            ": data.pairs.file_languages gives",
        ),
    ],
)
def test_columns_and_languages_that_are_not_understood_are_refused(tmp_path, row, config, message):
    path = write(tmp_path / "x.jsonl", row)
    with pytest.raises(DataError, match=f"^{path}{message}"):
        read(path, **config)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("en", "en-en"), ("train.de", "de-de"), ("mmarco_es", "es-es"), ("yue", "yue-yue"), ("a.fil.train", "fil-fil"),
        ("x_en-zh", "en-zh"), ("opus.de-en.v1", "de-en"), ("el-00000-of-00001", "el-el"), ("x.hi_3", "hi-hi"),
        ("my_pairs", None), ("new-pairs", None), ("pairs_new", None), ("as.is", None), ("en.de", None), ("xx.qa", None),
        ("data", None),
    ],
)  # fmt: skip
def test_codes_in_names(tmp_path, name, codes):
    path = write(tmp_path / f"{name}.jsonl", {"query": "a", "passage": "b"})
    if codes is None:
        with pytest.raises(DataError, match="the file's name has no one code"):
            read(path)
    else:
        assert ["-".join((*query, *passage)) for _, query, passage, _ in read(path)] == [codes]


def test_files_folders_and_patterns_are_found(tmp_path):
    for name in ("a/x.csv", "a/b/y.jsonl.gz", "a/README.md", "c.parquet", ".d/z.csv", "c.txt"):
        write(tmp_path / name, "x")

    def found(*patterns, root=tmp_path):
        return [str(path.relative_to(tmp_path)) for path in files_under(root, *patterns)]

    assert found() == ["a/b/y.jsonl.gz", "a/x.csv", "c.parquet"]
    assert found(["a"]) == found(root=tmp_path / "a") == ["a/b/y.jsonl.gz", "a/x.csv"]
    assert found(["c.txt"]) == ["c.txt"], "what is named is read, or refused with what is allowed"
    assert found(root=tmp_path / "*.parquet") == found(root=tmp_path / "c.parquet") == ["c.parquet"]
    assert found(["**/*.csv", "c*"]) == ["a/x.csv", "c.parquet"]
    for root, patterns in ((tmp_path, ["*.tsv"]), (tmp_path / "*.tsv", ["*"]), (tmp_path / ".d" / "none", ["*"])):
        with pytest.raises(DataError, match=r"matches no file to read|is no file and no folder"):
            files_under(root, patterns)


def test_a_hub_data_set_is_read_from_the_files_that_datasets_makes(tmp_path, monkeypatch):
    write(tmp_path / "set/train.csv", "question,answer", "a,b", "c,d")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "home"))
    config = PairsConfig(hub=str(tmp_path / "set"), language="en")
    assert [row.query for row in pair_rows(hub_files(config), config)] == [{"en": "a"}, {"en": "c"}]
    for other in ({"split": "test"}, {"subset": "de"}, {"hub": str(tmp_path / "none")}):
        with pytest.raises(DataError, match=r"cannot be fetched .* Check data.pairs.hub, subset, split and revision"):
            hub_files(PairsConfig(**({"hub": config.hub} | other)))
    with pytest.raises(DataError, match="names a split as a whole"):
        hub_files(PairsConfig(hub=config.hub, split="train[:1]"))
