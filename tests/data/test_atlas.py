"""The atlas: what its items hold, how they are split, and that the tool which made them makes them again."""

import gzip
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from mixlingual.data import writing_systems
from mixlingual.data.sources import atlas
from mixlingual.data.sources.atlas import LANGUAGES, atlas_benchmark, atlas_corpus, atlas_items, held_out
from mixlingual.records import DataError
from tools.cldr import build, facts

XQUAD = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
ALPHABETS = {"ar": "ARABIC", "el": "GREEK", "hi": "DEVANAGARI", "ru": "CYRILLIC", "th": "THAI", "zh": "CJK"}


@pytest.fixture(scope="module")
def items():
    return {item.id: item for item in atlas_items()}


def relation(item):
    return item.partition("/")[0]


def subject(item):
    return item.partition("/")[2]


def test_the_set_is_as_large_and_varied_as_promised(items):
    counts = Counter(map(relation, items))
    assert len(items) >= 3000
    assert len(counts) >= 12
    assert min(counts.values()) >= 200
    about_territories = [item for item in items if re.fullmatch("[A-Z]{2}", subject(item))]
    assert len(about_territories) > len(items) / 2


def test_every_item_has_both_sides_in_the_eleven_languages(items):
    assert LANGUAGES == XQUAD
    for item in items.values():
        assert tuple(item.query) == tuple(item.passage) == XQUAD
        assert item.source == "atlas"


def test_the_tool_makes_the_files_that_are_shipped():
    shipped = gzip.decompress(Path(atlas.__file__).with_name("atlas.jsonl.gz").read_bytes()).decode()
    made = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in build.items())
    assert made == shipped
    table = Path(writing_systems.__file__).with_name("writing_systems.txt")
    assert build.writing_systems() == table.read_text(encoding="utf-8")


def test_items_and_split_are_those_that_published_results_were_made_from():
    assert atlas_corpus(None).fingerprint == "bbf3b93ffcdb93b3"
    assert atlas_benchmark(None).fingerprint == "43a4d899e626b417"
    assert atlas_corpus(["de", "zh"]).fingerprint == atlas_corpus(["zh", "de"]).fingerprint == "b96d056e172d2fc4"
    assert atlas_benchmark(["de", "zh"]).fingerprint == "ffbc97766d87afdd"


def test_no_text_occurs_twice(items):
    texts = Counter(text for item in items.values() for side in (item.query, item.passage) for text in side.values())
    assert texts.most_common(1)[0][1] == 1
    assert len(texts) == len(items) * 22


def test_texts_are_whole_sentences_without_leftovers(items):
    for item in items.values():
        for language in XQUAD:
            for text in (item.query[language], item.passage[language]):
                assert not re.search(r"[{}]|None|  |^\s|\s$|\.\.|\s[.,;?]", text), (item.id, text)
                assert text[0] == text[0].upper()
            if language != "th":
                assert item.query[language][-1] in "?;؟？"
                assert item.passage[language][-1] in ".।。"


@pytest.mark.parametrize("language", ALPHABETS)
def test_letters_are_those_of_the_language(items, language):
    shares = []
    for item in items.values():
        letters = [char for char in item.query[language] + item.passage[language] if char.isalpha()]
        shares.append(sum(ALPHABETS[language] in unicodedata.name(char) for char in letters) / len(letters))
    assert min(shares) > 0.6
    assert sum(shares) / len(shares) > 0.99


def test_known_facts_are_stated(items):
    expected = {
        ("currency/CH", "en"): "Swiss franc",
        ("currency/JP", "es"): "yen japonés",
        ("region/CH", "de"): "Westeuropa",
        ("official/BR", "ru"): "португальский",
        ("spoken/AT", "el"): "ερμανικά",
        ("zone/JP", "th"): "เวลาญี่ปุ่น",
        ("week/US", "vi"): "Chủ nhật",
        ("weekend/SA", "ar"): "الجمعة والسبت",
        ("city/Europe/Vienna", "hi"): "ऑस्ट्रिया",
        ("city/Africa/Cairo", "tr"): "Mısır’da",
        ("script/bg", "zh"): "西里尔文",
        ("home/br", "ru"): "Франции",
        ("since/DE", "en"): "1999",
    }
    for (item, language), value in expected.items():
        assert value in items[item].passage[language]


def test_held_out_items_are_new_combinations_of_known_subjects_and_relations(items):
    trained = {item.id for item in atlas_corpus(None).items}
    held = {query.id for query in atlas_benchmark(None).queries}
    assert trained | held == items.keys()
    assert not trained & held
    assert held == held_out()
    assert set(map(subject, held)) <= set(map(subject, trained))
    assert set(map(relation, held)) == set(map(relation, trained))
    assert 0.10 <= len(held) / len(items) <= 0.13
    assert 300 <= len(held) <= 600


def test_no_held_out_text_is_trained_on():
    trained = {
        text for item in atlas_corpus(None).items for side in (item.query, item.passage) for text in side.values()
    }
    benchmark = atlas_benchmark(None)
    assert not trained & {entry.text for entry in (*benchmark.queries, *benchmark.candidates)}


def test_every_held_out_answer_is_seen_in_training_for_common_relations():
    """Values of the closed relations (days, notations, regions) are all trained on: the pairing alone is new."""
    trained = {item.id for item in atlas_corpus(None).items}
    for name in ("week", "weekend", "clock", "date", "decimal", "region"):
        seen = {about.values for about in facts.facts() if about.relation == name and about.id in trained}
        asked = {about.values for about in facts.facts() if about.relation == name and about.id in held_out()}
        assert asked <= seen


def test_the_benchmark_has_one_gold_candidate_per_question_and_language(items):
    benchmark = atlas_benchmark(None)
    held = sorted(held_out())
    assert benchmark.name == "atlas"
    assert benchmark.languages == XQUAD
    assert benchmark.complete
    assert len(benchmark.queries) == len(benchmark.candidates) == len(benchmark.gold) == 11 * len(held)
    ids = {candidate.id for candidate in benchmark.candidates}
    assert len(ids) == len(benchmark.candidates)
    for query in benchmark.queries:
        candidate = benchmark.candidates[benchmark.gold[query.id, query.language]]
        assert candidate.id == f"{query.language}/{query.id}"
        assert candidate.language == query.language
        assert candidate.text == items[query.id].passage[query.language]
        assert query.text == items[query.id].query[query.language]
        assert query.paragraph == subject(query.id)


def test_the_corpus_is_one_source_in_a_fixed_order():
    corpus = atlas_corpus(None)
    assert corpus.name == "atlas"
    assert corpus.languages == XQUAD
    assert corpus.source_weights == {"atlas": 1.0}
    assert [item.id for item in corpus.items] == [item.id for item in atlas_items() if item.id not in held_out()]


def test_a_subset_of_languages_keeps_the_items():
    corpus, benchmark = atlas_corpus(["zh", "de"]), atlas_benchmark(["zh", "de"])
    assert corpus.languages == benchmark.languages == ("de", "zh")
    assert [item.id for item in corpus.items] == [item.id for item in atlas_corpus(None).items]
    assert all(tuple(item.query) == tuple(item.passage) == ("de", "zh") for item in corpus.items)
    assert not benchmark.complete
    assert {query.language for query in benchmark.queries} == {"de", "zh"}
    assert len(benchmark.gold) == 2 * len(held_out())
    assert atlas_benchmark(list(reversed(XQUAD))).complete
    assert len({corpus.fingerprint, atlas_corpus(["de"]).fingerprint, atlas_corpus(None).fingerprint}) == 3
    assert benchmark.fingerprint != atlas_benchmark(None).fingerprint


@pytest.mark.parametrize("load", [atlas_corpus, atlas_benchmark])
@pytest.mark.parametrize(("languages", "got"), [(["de", "xx", "fr"], "fr, xx"), ([], "an empty list")])
def test_unknown_languages_are_refused(load, languages, got):
    allowed = "ar, de, el, en, es, hi, ru, th, tr, vi, zh"
    with pytest.raises(DataError, match=rf"^the atlas has no language {got}; allowed: {allowed}\. Change"):
        load(languages)
