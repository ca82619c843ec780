import json
import re
import string
import subprocess
import sys
import unicodedata
from collections import Counter
from importlib import resources

import pytest

from mixlingual.data.sources.atlas import atlas_benchmark, atlas_corpus, atlas_items, held_out
from mixlingual.data.sources.atlas_facts import CONTINENTS, REGIONS, SCRIPTS, TERRITORIES, Fact, facts
from mixlingual.data.sources.atlas_names import LANGUAGES, Phrasebook, phrasebook
from mixlingual.records import DataError

XQUAD = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
ALPHABETS = {"ar": "ARABIC", "el": "GREEK", "hi": "DEVANAGARI", "ru": "CYRILLIC", "th": "THAI", "zh": "CJK"}
RELATIONS = {fact.relation for fact in facts()}


@pytest.fixture(scope="module")
def items():
    return {item.id: item for item in atlas_items()}


@pytest.fixture(scope="module")
def content():
    folder = resources.files("mixlingual.data.sources") / "atlas"
    return {language: json.loads((folder / f"{language}.json").read_text(encoding="utf-8")) for language in XQUAD}


def relation(item):
    return item.partition("/")[0]


def subject(item):
    return item.partition("/")[2]


def fact(item):
    return next(fact for fact in facts() if fact.id == item)


def fields(template):
    return Counter(name for _, name, _, _ in string.Formatter().parse(template) if name)


# ---- size, relations, languages


def test_the_set_is_as_large_and_varied_as_promised(items):
    counts = Counter(map(relation, items))
    assert len(items) >= 3000
    assert len(counts) >= 12
    assert counts.keys() == RELATIONS
    assert min(counts.values()) >= 200
    about_territories = [item for item in items if subject(item) in TERRITORIES]
    assert len(about_territories) > len(items) / 2


def test_every_item_has_both_sides_in_the_eleven_languages(items):
    assert LANGUAGES == XQUAD
    for item in items.values():
        assert tuple(item.query) == tuple(item.passage) == XQUAD
        assert item.source == "atlas"


# ---- texts


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


@pytest.mark.parametrize("language", ["de", "en", "es", "tr", "vi"])
def test_latin_languages_are_not_each_other(items, language):
    common = {
        "de": "der die das den wird man ist gilt heißt welche welcher welchem welches wie wo welchen wer zählt steht",
        "en": "the which what where is how on to when since do of",
        "es": "el la los las se de qué cuál con dónde cómo",
        "tr": "hangi kenti kentinde için olarak ne nerede nasıl veya günü saat",
        "vi": "ở là nào của được gì thế đâu người giờ tiếng",
    }

    def share(other):
        words = set(common[other].split())
        texts = (f"{item.query[language]} {item.passage[language]}" for item in items.values())
        return sum(not words.isdisjoint(re.findall(r"\w+", text.lower())) for text in texts) / len(items)

    assert share(language) > 0.85
    assert max(share(other) for other in common if other != language) < 0.4


def test_each_text_names_its_subject(items):
    """In English and Chinese names do not change their form."""
    by_id = {fact.id: fact for fact in facts()}
    for item in items.values():
        about = by_id[item.id]
        for language in ("en", "zh"):
            name = phrasebook(language).name(about.subject_kind, (about.subject,)).bare
            assert name in item.query[language]
            assert name in item.passage[language]


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


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("clock/US", "clock12"), ("clock/DE", "clock24"), ("date/US", "mdy"), ("date/FR", "dmy"),
        ("date/HU", "ymd"), ("decimal/FR", "comma"), ("decimal/GB", "point"),
    ],
)  # fmt: skip
def test_notation_follows_the_territory(item, value):
    assert fact(item).values == (value,)


def test_examples_agree_with_what_they_illustrate():
    for about in facts():
        if about.relation == "decimal":
            assert about.example == {"comma": "2,5", "point": "2.5"}[about.values[0]]
        elif about.relation == "clock":
            assert about.example == {"clock12": "3:30", "clock24": "15:30"}[about.values[0]]
        elif about.relation == "date":
            parts = {"31": "d", "12": "m", "1999": "y"}
            assert "".join(parts[part] for part in re.split("[./-]", about.example)) == about.values[0]
        else:
            assert about.example == ""


def test_no_two_items_state_the_same_fact_the_other_way_round(items):
    """The home of a language is not asked where the territory's own items state that language."""
    stated = {
        (fact(item).subject, language)
        for item in items
        if relation(item) in ("official", "spoken")
        for language in fact(item).values
    }
    homes = [fact(item) for item in items if relation(item) == "home"]
    assert homes
    assert not [home.id for home in homes if (home.values[0], home.subject) in stated]


def test_no_city_bears_the_name_of_a_territory(items):
    for language in XQUAD:
        places = {phrasebook(language).name("territory", (code,)).bare for code in TERRITORIES}
        cities = {
            phrasebook(language).name("city", (subject(item),)).bare for item in items if relation(item) == "city"
        }
        assert len(cities) == Counter(map(relation, items))["city"]
        assert not places & cities


def test_facts_have_values_and_ids_of_their_own():
    assert all(about.values and all(about.values) for about in facts())
    assert len({about.id for about in facts()}) == len(facts())


def test_regions_partition_the_territories():
    members = " ".join(REGIONS.values()).split()
    assert len(members) == len(set(members)) == len(TERRITORIES)
    assert sorted(" ".join(CONTINENTS.values()).split()) == sorted(REGIONS)


# ---- templates


def test_languages_have_the_same_relations_with_enough_phrasings(content):
    for language, book in content.items():
        assert book["relations"].keys() == RELATIONS, language
        for name, sides in book["relations"].items():
            assert sides.keys() <= {"query", "passage", "passage_plural"}
            for side, templates in sides.items():
                assert len(set(templates)) == len(templates) >= 4, (language, name, side)


def test_templates_have_the_right_slots(content):
    for language, book in content.items():
        for name, sides in book["relations"].items():
            for template in sides["query"]:
                assert fields(template) == {"subject": 1}, (language, name, template)
            for template in [*sides["passage"], *sides.get("passage_plural", [])]:
                slots = fields(template)
                assert slots["subject"] == 1, (language, name, template)
                assert slots["value"] or slots["example"], (language, name, template)
                allowed = {"subject", "value"}
                allowed |= {"example"} if name in ("clock", "date", "decimal") else set()
                allowed |= {"continent"} if name == "region" else set()
                assert slots.keys() <= allowed, (language, name, template)


def test_forms_used_by_templates_exist_and_listed_names_are_real(content):
    kinds = {"value": {}, "subject": {}}
    for about in facts():
        kinds["value"][about.relation] = about.value_kind
        kinds["subject"][about.relation] = about.subject_kind
    for language, book in content.items():
        for name, sides in book["relations"].items():
            for template in (template for templates in sides.values() for template in templates):
                for _, slot, form, _ in string.Formatter().parse(template):
                    if slot in kinds and form not in ("", "bare"):
                        forms = book["forms"][kinds[slot][name]]
                        assert form in forms["*"], (language, name, template)
        names = {phrasebook(language).name("territory", (code,)).bare for code in TERRITORIES}
        listed = {name for name in book["forms"].get("territory", {}) if not name.startswith("*")}
        assert listed <= names, language


def test_every_listed_form_is_a_complete_entry(content):
    for language, book in content.items():
        for kind, table in book["forms"].items():
            default = table.get("*", {}).keys() - {"nom"}
            for name, forms in table.items():
                assert name.startswith("*") or kind != "territory" or default <= forms.keys(), (language, name)


def test_words_are_the_same_in_all_languages(content):
    assert len({frozenset(book["words"]) for book in content.values()}) == 1


def test_phrasings_of_parallel_texts_do_not_line_up(items, content):
    """Were one number drawn per item, English and German would always show phrasings of the same number."""
    about = [fact(item) for item in items if relation(item) == "currency"]

    def number(language, fact):
        choices = content[language]["relations"]["currency"]["query"]
        return choices.index(phrasebook(language)._template(fact, "query"))

    pairs = Counter((number("en", fact), number("de", fact)) for fact in about)
    assert len(pairs) == 16
    assert max(pairs.values()) < len(about) / 8


# ---- names


@pytest.mark.parametrize(
    ("language", "kind", "code", "form", "expected"),
    [
        ("de", "territory", "CH", "in", "in der Schweiz"),
        ("de", "territory", "NL", "of", "der Niederlande"),
        ("de", "territory", "IR", "in", "im Iran"),
        ("de", "territory", "FR", "in", "in Frankreich"),
        ("en", "territory", "NL", "", "the Netherlands"),
        ("en", "territory", "KY", "", "the Cayman Islands"),
        ("es", "territory", "GB", "of", "del Reino Unido"),
        ("es", "currency", "SEK", "", "la corona sueca"),
        ("el", "territory", "CH", "of", "της Ελβετίας"),
        ("el", "territory", "FR", "in", "στη Γαλλία"),
        ("el", "territory", "LB", "in", "στον Λίβανο"),
        ("ru", "territory", "FR", "in", "во Франции"),
        ("ru", "territory", "CU", "in", "на Кубе"),
        ("ru", "language", "de", "", "немецкий язык"),
        ("ru", "language", "hi", "", "язык хинди"),
        ("tr", "territory", "TR", "in", "Türkiye’de"),
        ("tr", "territory", "MH", "of", "Marshall Adaları’nın"),
        ("tr", "territory", "KW", "in", "Kuveyt’te"),
        ("ar", "language", "de", "", "اللغة الألمانية"),
        ("ar", "currency", "CHF", "", "الفرنك السويسري"),
        ("vi", "language", "de", "", "tiếng Đức"),
        ("th", "language", "de", "", "ภาษาเยอรมัน"),
    ],
)
def test_names_take_the_form_a_sentence_needs(language, kind, code, form, expected):
    assert format(phrasebook(language).name(kind, (code,)), form) == expected


def test_several_names_are_listed_as_the_language_does():
    assert f"{phrasebook('es').name('language', ('de', 'fr', 'it'))}" == "el alemán, el francés y el italiano"
    assert f"{phrasebook('zh').name('weekday', ('5', '6'))}" == "星期六和星期日"


def test_a_name_that_cldr_lacks_makes_no_text():
    about = Fact("currency", "territory", "CH", "currency", ("XBB",))
    assert phrasebook("hi").texts(about) is None


def test_the_longest_ending_that_fits_decides():
    book = Phrasebook("en")
    book.forms = {"script": {"*": {"nom": "a {name}"}, "*ic": {"nom": "{stem}!"}, "Gothic": {"nom": "exact"}}}
    book._endings = {"script": ["ic", ""]}
    assert f"{book._inflected('script', 'Arabic')}" == "Arab!"
    assert f"{book._inflected('script', 'Gothic')}" == "exact"
    assert f"{book._inflected('script', 'Latin')}" == "a Latin"


def test_all_scripts_have_names_in_all_languages():
    for language in XQUAD:
        missing = {code for code in SCRIPTS if phrasebook(language).name("script", (code,)) is None}
        assert missing <= {"Thai"}, language


# ---- split


def test_held_out_items_are_new_combinations_of_known_subjects_and_relations(items):
    trained = {item.id for item in atlas_corpus(None).items}
    held = {query.id for query in atlas_benchmark(None).queries}
    assert trained | held == items.keys()
    assert not trained & held
    assert held == held_out()
    assert set(map(subject, held)) <= set(map(subject, trained))
    assert set(map(relation, held)) == set(map(relation, trained)) == RELATIONS
    assert 0.10 <= len(held) / len(items) <= 0.13
    assert 300 <= len(held) <= 600


def test_no_held_out_text_is_trained_on():
    trained = {
        text for item in atlas_corpus(None).items for side in (item.query, item.passage) for text in side.values()
    }
    benchmark = atlas_benchmark(None)
    assert not trained & {entry.text for entry in (*benchmark.queries, *benchmark.candidates)}


def test_every_held_out_answer_is_seen_in_training_for_common_relations():
    """Values of the closed relations (days, notations, regions) are all trained on; only the pairing is new."""
    trained = {item.id for item in atlas_corpus(None).items}
    for name in ("week", "weekend", "clock", "date", "decimal", "region"):
        seen = {about.values for about in facts() if about.relation == name and about.id in trained}
        asked = {about.values for about in facts() if about.relation == name and about.id in held_out()}
        assert asked <= seen


# ---- corpus and benchmark


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


def test_another_process_builds_the_same_atlas():
    """Python's own hashes differ between processes; nothing may depend on them."""
    code = (
        "from mixlingual.data.sources.atlas import atlas_corpus, atlas_benchmark;"
        "print(atlas_corpus(None).fingerprint, atlas_benchmark(None).fingerprint)"
    )
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True)
    assert run.stdout.split() == [atlas_corpus(None).fingerprint, atlas_benchmark(None).fingerprint], run.stderr
