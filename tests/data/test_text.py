"""Benchmarks in another form: what is changed, what is not, and what it costs an encoder."""

import re
import sys
from dataclasses import replace

import judged_folders
import pytest

from mixlingual.config.schema import EvaluationConfig, TextConfig
from mixlingual.data.registry import load_benchmark, load_benchmarks
from mixlingual.data.text import rewritten
from mixlingual.records import MixlingualError

CONFIG = EvaluationConfig(languages=["en", "hi", "ru"])
ROMAN = TextConfig(transliterate="uroman")


@pytest.fixture(scope="module")
def atlas():
    return load_benchmark("atlas", CONFIG)


def texts(benchmark, language, side="query"):
    held = benchmark.queries if side == "query" else benchmark.candidates
    return [one.text for one in held if one.language == language]


def test_questions_are_written_in_latin_letters_and_nothing_else_changes(atlas):
    found = rewritten(atlas, ROMAN)
    assert texts(found, "ru") != texts(atlas, "ru")
    assert not any(re.search("[\u0400-\u04ff\u0900-\u097f]", text) for x in ("ru", "hi") for text in texts(found, x))
    assert found.candidates == atlas.candidates
    assert (found.gold, found.answers, found.languages) == (atlas.gold, atlas.answers, atlas.languages)
    assert [(q.id, q.language, q.paragraph) for q in found.queries] == [
        (q.id, q.language, q.paragraph) for q in atlas.queries
    ]
    assert found.fingerprint != atlas.fingerprint


def test_what_uroman_writes_is_known():
    import uroman

    question = replace(load_benchmark("atlas", CONFIG).queries[0], text="Где столица?", language="ru")
    one = replace(load_benchmark("atlas", CONFIG), queries=(question,))
    assert rewritten(one, ROMAN).queries[0].text == "Gde stolitsa?" == uroman.Uroman().romanize_string("Где столица?")
    kept = rewritten(one, replace(ROMAN, keep_original=True)).queries[0].text
    assert kept == "Где столица? Gde stolitsa?"


@pytest.mark.parametrize("side", ["query", "passage", "both"])
def test_the_side_and_the_languages_are_those_that_are_named(atlas, side):
    found = rewritten(atlas, replace(ROMAN, side=side, languages=["ru"]))
    for own in ("query", "passage"):
        assert texts(found, "hi", own) == texts(atlas, "hi", own)
        assert (texts(found, "ru", own) != texts(atlas, "ru", own)) is (side in (own, "both"))


def test_normal_forms_are_those_of_unicode(atlas):
    question = replace(atlas.queries[0], text="ﬁve e\u0301")
    one = replace(atlas, queries=(question,))
    forms = {form: rewritten(one, TextConfig(normalize=form)).queries[0].text for form in ("none", "nfc", "nfkc")}
    assert forms == {"none": "ﬁve e\u0301", "nfc": "ﬁve \u00e9", "nfkc": "five \u00e9"}


def test_by_default_a_benchmark_is_the_one_that_was_read(atlas):
    assert rewritten(atlas, TextConfig()) is atlas


def test_every_form_has_a_fingerprint_of_its_own(atlas):
    forms = [ROMAN, replace(ROMAN, side="both"), replace(ROMAN, languages=["ru"]), TextConfig(normalize="nfkc")]
    assert len({rewritten(atlas, form).fingerprint for form in forms} | {atlas.fingerprint}) == 5


def test_judged_passages_are_changed_as_they_are_read(tmp_path):
    judged_folders.miracl(tmp_path)
    config = EvaluationConfig(root=str(tmp_path), languages=["sw"])
    plain = load_benchmark("miracl", config)
    accented = replace(plain.tasks[0].corpus, read=lambda: iter([replace(next(iter(plain.tasks[0].corpus)), text="é")]))
    found = rewritten(replace(plain, tasks=(replace(plain.tasks[0], corpus=accented),)), replace(ROMAN, side="both"))
    (task,) = found.tasks
    assert [passage.text for passage in task.corpus] == ["e"] == [passage.text for passage in task.corpus]
    assert task.corpus.fingerprint != accented.fingerprint
    assert task.qrels == plain.tasks[0].qrels


def test_an_unknown_language_and_a_missing_backend_are_named(atlas, monkeypatch):
    with pytest.raises(
        MixlingualError, match=r"evaluation.text.languages: xx is no language of atlas; it has en, hi, ru"
    ):
        rewritten(atlas, replace(ROMAN, languages=["xx"]))
    monkeypatch.setitem(sys.modules, "uroman", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MixlingualError, match=r"uroman needs the package uroman; run pip install 'mixlingual\[text\]'"):
        load_benchmarks(replace(CONFIG, benchmarks=["nothing"], text=ROMAN))
