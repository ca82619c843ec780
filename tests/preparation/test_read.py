"""Sources in the shapes that they are published in, and what is said of rows that are wrong."""

import gzip
import json
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
from hydra import compose, initialize_config_dir

from mixlingual.config.checks import to_config
from mixlingual.config.schema import PairsConfig, PrepareConfig, RecipeSourceConfig
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.preparation.read import Source
from mixlingual.records import DataError


def recipe_of(*overrides):
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return to_config(PrepareConfig, compose("prepare", overrides=list(overrides))).recipe


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def json_lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def mr_tydi(path, language):
    json_lines(
        path,
        {
            "query_id": "7",
            "query": f"question in {language}",
            "positive_passages": [{"docid": "1#0", "title": "Title", "text": f"answer in {language}"}],
            "negative_passages": [{"docid": f"{n}#1", "title": "Other", "text": f"no answer {n}"} for n in range(30)],
        },
        {"query_id": "9", "query": "q", "positive_passages": [{"docid": "2", "title": "T", "text": "p"}],
         "negative_passages": []},
    )  # fmt: skip


def hub(root):
    """Small files in the schemas of the recipes' data sets, as their pages on the hub show them."""
    parquet(
        root / "wiki_qa/data/train-00000-of-00001.parquet", question_id=["Q1", "Q1", "Q2"], question=["how?"] * 3,
        document_title=["D"] * 3, answer=["so", "not so", "thus"], label=pyarrow.array([1, 0, 1], pyarrow.int64()),
    )  # fmt: skip
    for split in ("validation", "test"):
        parquet(root / f"wiki_qa/data/{split}-00000-of-00001.parquet", question_id=["Q9"], question=["why?"],
                document_title=["D"], answer=[f"since {split}"], label=[1])  # fmt: skip
    mr_tydi(root / "mr-tydi/mrtydi-v1.1-english/train.jsonl.gz", "english")
    parquet(
        root / "duorc/SelfRC/train-00000-of-00001.parquet", plot_id=["/m/1"] * 2, plot=["A long plot."] * 2,
        title=["T"] * 2, question_id=["a", "b"], question=["who?", "whom?"], answers=[["x"], []],
        no_answer=[False, True],
    )  # fmt: skip
    parquet(
        root / "newsqa/data/train-00000-of-00001-ec54fbe500fc3b5c.parquet", context=["(CNN) -- News."],
        question=["what?"], answers=[["News"]], key=["k1"], labels=[[{"end": [1], "start": [0]}]],
    )  # fmt: skip
    parquet(root / "natural-questions/pair/train-00000-of-00001.parquet", query=["where?"], answer=["There it is."])
    parquet(root / "yahoo-answers/title-answer-pair/train-00000-of-00002.parquet", title=["when?"], answer=["Then."])
    parquet(root / "paq/pair/train-00000-of-00088.parquet", query=["who is it"], answer=["It is a name."])
    parquet(
        root / "mfaq/en_flat/mfaq-train-00000-of-00003.parquet", domain_id=[1, 1], pair_id=[1, 2],
        language=["en", "en"], domain=["a.com"] * 2, question=["May I?", "May we?"], answer=["You may.", "You may."],
    )  # fmt: skip
    data = root / "mmarco/data"
    names = {"en": "english", "ar": "arabic", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian",
             "hi": "hindi"}  # fmt: skip
    for folder in ("queries/train", "collections"):
        (data / "google" / folder).mkdir(parents=True)
    for code, name in names.items():
        lines = [f"{n}\tquery {n} {code}\n" for n in (10, 11, 12)]
        (data / f"google/queries/train/{name}_queries.train.tsv").write_text("".join(lines))
        lines = [f"{n}\tpassage {n} {code}\n" for n in range(6) if (n, code) != (3, "hi")]
        (data / f"google/collections/{name}_collection.tsv").write_text("".join(lines))
    (data / "triples.train.ids.small.tsv").write_text("10\t0\t1\n11\t2\t3\n10\t0\t4\n10\t0\t1\n12\t99\t1\n")


def test_every_source_of_the_paper_is_read_in_its_published_schema(tmp_path):
    hub(tmp_path)
    found, counts = {}, Counter()
    for name, config in recipe_of("recipe=paper").sources.items():
        found[name] = list(Source(name, config, tmp_path).items(counts))
    sizes = {name: len(items) for name, items in found.items()}
    assert sizes == {
        "wikiqa": 4, "mr_tydi_en": 2, "duorc": 1, "newsqa": 1, "natural_questions": 1, "yahoo": 1,
        "entity_questions": 1, "mfaq": 2, "mmarco": 2,
    }  # fmt: skip
    assert [item.passage for item in found["wikiqa"]][:2] == [{"en": "so"}, {"en": "thus"}], "label 1 alone"
    first = found["mr_tydi_en"][0]
    assert (first.id, first.passage) == ("mr_tydi_en/7", {"en": "Title answer in english"})
    assert len(first.negatives) == 8
    assert first.negatives[0] == {"en": "Other no answer 0"}
    assert found["duorc"][0].id == "duorc/a"
    triples = found["mmarco"][0]
    assert triples.id == "mmarco/10-0"
    assert triples.query == {code: f"query 10 {code}" for code in ("en", "ar", "zh", "de", "es", "ru", "hi")}
    assert [each["de"] for each in triples.negatives] == ["passage 1 de", "passage 4 de"], "of all rows of the pair"
    assert "hi" not in found["mmarco"][1].negatives[0], "a language that lacks a text"
    assert counts["pairs without a text"] == 1


def test_mr_tydi_reads_eleven_languages(tmp_path):
    sources = recipe_of("recipe=mr_tydi").sources
    for name in sources:
        mr_tydi(tmp_path / f"mr-tydi/mrtydi-v1.1-{name}/train.jsonl.gz", name)
    items = [item for name, config in sources.items() for item in Source(name, config, tmp_path).items(Counter())]
    assert sorted({code for item in items for code in item.query}) == [
        "ar", "bn", "en", "fi", "id", "ja", "ko", "ru", "sw", "te", "th",
    ]  # fmt: skip
    assert len(items) == len({item.id for item in items}) == 22


def read(tmp_path, text, name="faq.csv", pairs=None, **options):
    (tmp_path / name).write_text(text, encoding="utf-8")
    config = RecipeSourceConfig(files=[str(tmp_path / name)], pairs=PairsConfig(**(pairs or {})), **options)
    return list(Source("s", config, None).items(Counter()))


def test_rows_of_one_id_are_one_item(tmp_path):
    text = "id,language,question,answer\n1,en,Who?,She.\n2,en,When?,Now.\n1,de,Wer?,Sie.\n"
    items = read(tmp_path, text)
    assert [(item.id, item.query) for item in items] == [
        ("s/1", {"en": "Who?", "de": "Wer?"}),
        ("s/2", {"en": "When?"}),
    ]
    assert len(read(tmp_path, text, limit=1)) == 1
    assert [item.id for item in read(tmp_path, text, languages=["de"])] == ["s/1"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("id,question,answer\n1,Who?,She.\n1,Whom?,She.\n", {}, r"line 3: s/1 has another query in en already"),
        ("question,answer\nWho?,\n", {}, r"line 2: answer is"),
        ("question,answer\nWho?,She.\n", {"where": {"label": "1"}}, "line 2: there is no column label"),
        ("question,answer\nWho?\n", {}, "line 2: got 1 cells, where the first line has 2"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path, text, options, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text, pairs={"language": "en"}, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": []}, "recipe.sources.s.files is empty"),
        ({"files": ["nowhere"]}, "nowhere"),
        ({"files": ["x"], "join": {"answer": "y"}}, "join has answer; allowed: query, passage"),
        ({"files": ["x"], "join": {"query": "y"}}, "needs query, passage and join_languages"),
    ],
)
def test_a_source_that_cannot_be_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        Source("s", RecipeSourceConfig(**options), None)


def test_a_line_of_a_joined_table_that_is_wrong_is_named(tmp_path):
    hub(tmp_path)
    path = tmp_path / "mmarco/data/google/collections/german_collection.tsv"
    path.write_text("0 no tab\n")
    config = recipe_of("recipe=mmarco").sources["mmarco"]
    with pytest.raises(DataError, match=r"german_collection.tsv, line 1: the line has no tab"):
        list(Source("mmarco", config, tmp_path).items(Counter()))
