"""What is left out for its language, its length, as a copy, and for what it shares with a benchmark."""

import gzip
import json
from collections import Counter

import pytest

from mixlingual.config.schema import EvaluationConfig, FilterConfig
from mixlingual.data.registry import load_benchmark
from mixlingual.data.sources.atlas import atlas_benchmark
from mixlingual.preparation.filter import benchmark_runs, check_shard, drop_copies, removed_path
from mixlingual.preparation.shards import Item, read_items, write_items
from mixlingual.preparation.words import IDENTIFIABLE, is_language, runs, words


def filtered(tmp_path, items, benchmarks=(), **options):
    """Returns the items that stay and (id, reason) of what is left out."""
    config = FilterConfig(**options)
    read, checked, unique = (tmp_path / name / "s-00000.jsonl.gz" for name in ("read", "checked", "unique"))
    write_items(read, items, Counter())
    check_shard(read, checked, config, benchmark_runs(benchmarks, config.overlap_words))
    drop_copies([checked], [unique], config)
    lines = [json.loads(line) for path in (checked, unique) for line in removed_path(path).read_text().splitlines()]
    return list(read_items(unique)), lines


def item(name, query, passage, language="en"):
    return Item(name, {language: query}, {language: passage})


PASSAGE = (
    "The lighthouse on the northern cape was built of red stone in three summers, and its lamp was first lit by the "
    "daughter of the harbour master on a stormy night that the whole town still talks about every winter"
)


@pytest.mark.parametrize(
    ("text", "language", "words_of_it"),
    [
        ("Don't PANIC, it's 3.5!", "en", ["don", "t", "panic", "it", "s", "3", "5"]),
        ("हिन्दी में लिखा है।", "hi", ["हिन्दी", "में", "लिखा", "है"]),
        ("東京タワーです。", "ja", ["東京", "京タ", "タワ", "ワー", "ーで", "です"]),
        ("我 love 北京", "zh", ["我", "love", "北京"]),
        ("", "en", []),
    ],
)
def test_words_of_any_script(text, language, words_of_it):
    assert words(text, language) == words_of_it


def test_runs():
    assert list(runs(["a", "b", "c", "d"], 3)) == ["a b c", "b c d"]
    assert list(runs(["a", "b"], 3)) == ["a b"]


def test_near_copies_go_and_other_questions_about_a_passage_stay(tmp_path):
    items = [
        item("first", "When was the red lighthouse on the cape built?", PASSAGE),
        item("near", "When was the red lighthouse on the cape built?", PASSAGE + " since"),
        item("asks otherwise", "Who first lit the lamp of the lighthouse on the cape?", PASSAGE),
        item("other passage", "When was the red lighthouse on the cape built?", PASSAGE.replace("stone", "brick")
             .replace("night", "day").replace("lamp", "light").replace("summers", "years").replace("town", "city")),
    ]  # fmt: skip
    kept, lines = filtered(tmp_path, items)
    assert [each.id for each in kept] == ["first", "asks otherwise", "other passage"]
    assert lines == [{"id": "near", "reason": "near copy", "of": "first"}]
    assert len(filtered(tmp_path / "off", items, near=None)[0]) == 4


def test_near_copies_of_pairs_in_two_languages_are_compared_in_the_language_of_each_side(tmp_path):
    def pair(name, question):
        return Item(name, {"de": question}, {"en": PASSAGE})

    items = [
        pair("first", "Wann wurde der rote Leuchtturm am Kap gebaut?"),
        pair("other", "Wer hat die Lampe des Leuchtturms zum ersten Mal entzündet?"),
        pair("near", "Wann wurde der rote Leuchtturm am Kap gebaut?"),
    ]
    kept, lines = filtered(tmp_path, items, identify=False, exact=False)
    assert [each.id for each in kept] == ["first", "other"]
    assert lines == [{"id": "near", "reason": "near copy", "of": "first"}]


def test_near_copies_are_those_of_an_exhaustive_comparison(tmp_path):
    """Variants of texts with 0 to 12 changed words, against exact Jaccard similarities of all pairs."""
    base = PASSAGE.split()
    items, threshold = [], 0.8
    for text in range(12):
        for changed in (0, 1, 6, 12):
            found = [f"{word}{text}" for word in base]
            found[10 : 10 + changed] = [f"new{n}" for n in range(changed)]
            items.append(item(f"{text}-{changed}", f"what is known of number {text} here", " ".join(found)))

    def similarity(one, other):
        mine, others = (set(runs(words(each.passage["en"], "en"), 3)) for each in (one, other))
        return len(mine & others) / len(mine | others)

    expected = []
    for each in items:
        if all(similarity(each, first) < threshold for first in expected):
            expected.append(each)
    kept, _ = filtered(tmp_path, items, near=threshold, identify=False)
    assert 12 < len(expected) < 48
    assert [each.id for each in kept] == [each.id for each in expected]


def test_copies_are_told_by_pair_and_language(tmp_path):
    items = [
        Item("a", {"en": "Who is it?", "de": "Wer ist es?"}, {"en": "It is she, I think.", "de": "Sie ist es wohl."}),
        Item("b", {"de": "wer ist  ES?"}, {"de": "Sie ist es wohl."}),
        Item("c", {"en": "Who is it?"}, {"de": "Sie ist es wohl."}),
        Item("d", {"en": "Who is it?"}, {"de": "Sie ist es wohl."}),
        Item("e", {"en": "Who is it?"}, {"en": "It is he, I think."}),
    ]
    kept, lines = filtered(tmp_path, items, near=None)
    assert [each.id for each in kept] == ["a", "c", "e"]
    assert [(line["id"], line["reason"]) for line in lines] == [("b", "copy"), ("d", "copy")]
    assert len(filtered(tmp_path / "off", items, near=None, exact=False)[0]) == 5


def test_overlap_with_a_benchmark_is_taken_out_and_named(tmp_path):
    benchmark = atlas_benchmark(["en", "zh"])
    query = next(each for each in benchmark.queries if each.language == "en")
    candidate = max((each for each in benchmark.candidates if each.language == "en"), key=lambda each: len(each.text))
    chinese = max((each for each in benchmark.candidates if each.language == "zh"), key=lambda each: len(each.text))
    run = " ".join(candidate.text.split()[:14])
    items = [
        item("asks the same", query.text.upper(), "Something else that nobody ever asked about."),
        item("holds a run", "What is written here?", f"Before it. {run} and so on, after it."),
        item("holds less", "What is written here?", f"Before it. {' '.join(run.split()[:6])} and so on, after it."),
        item("in Chinese", "这里写的是什么？", f"前面的话。{chinese.text}后面的话。", "zh"),
        item("unrelated", "Who feeds the cats?", "The keeper of the lighthouse feeds them."),
    ]
    kept, lines = filtered(tmp_path, items, [benchmark], near=None, overlap_words=8, identify=False)
    assert [each.id for each in kept] == ["holds less", "unrelated"]
    assert [(line["id"], line["side"], line["benchmark"].split()[0]) for line in lines] == [
        ("asks the same", "query", "atlas"), ("holds a run", "passage", "atlas"), ("in Chinese", "passage", "atlas"),
    ]  # fmt: skip
    assert lines[0]["words"] == " ".join(words(query.text, "en")[:8])
    short = item("short", "Stay closed?", "And so on.")
    assert len(filtered(tmp_path / "short", [short], [benchmark], overlap_words=8)[0]) == 1, "shorter ones count whole"
    assert filtered(tmp_path / "whole", [items[0]], [benchmark], overlap_words=50)[1][0]["words"] == " ".join(
        words(query.text, "en")
    )


def test_short_texts_and_unknown_languages_are_not_judged():
    assert is_language("Berlin", "fr")
    assert is_language("Das ist ein deutscher Satz, der von gar nichts handelt.", "de_AT")
    assert not is_language("Das ist ein deutscher Satz, der von gar nichts handelt.", "en")
    assert is_language("Das ist ein deutscher Satz, der von gar nichts handelt.", "gsw"), (
        "a language that nobody here tells apart"
    )


def test_languages_of_real_questions(real_data):
    """The figures of `words._UNLIKELY`."""
    languages = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
    benchmark = load_benchmark("xquad_r", EvaluationConfig(benchmarks=["xquad_r"], root=str(real_data)))
    texts = [query for query in benchmark.queries if len(query.text) >= IDENTIFIABLE][::10]
    assert len(texts) > 800
    refused = [each.text for each in texts if not is_language(each.text, each.language)]
    assert len(refused) <= len(texts) / 500, refused
    others = [(each, languages[(languages.index(each.language) + 1 + n % 10) % 11]) for n, each in enumerate(texts)]
    assert sum(is_language(each.text, other) for each, other in others) <= len(texts) / 500


def test_overlap_with_real_benchmarks(real_data, tmp_path):
    """Every question of MLQA-R and a paragraph with some of its sentences are found again."""
    config = EvaluationConfig(benchmarks=["mlqa_r"], root=str(real_data), languages=["en", "hi"])
    benchmark = load_benchmark("mlqa_r", config)
    planted = [item(f"q{n}", each.text, "A passage of no matter at all.", each.language)
               for n, each in enumerate(benchmark.queries[:200])]  # fmt: skip
    long = [each for each in benchmark.candidates if len(words(each.text, each.language)) > 15][:200]
    planted += [
        item(f"p{n}", "What is it about?", f"x y z {each.text} x y z", each.language) for n, each in enumerate(long)
    ]
    kept, lines = filtered(tmp_path, planted, [benchmark], near=None, exact=False, identify=False)
    assert kept == []
    assert Counter(line["reason"] for line in lines) == {"overlap with a benchmark": len(planted)}
    packed = (real_data / "train-parallel" / "django-girls.jsonl.gz").read_bytes()
    own = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    rows = [Item(row["id"], row["query"], row["passage"]) for row in own]
    assert len(filtered(tmp_path / "own", rows, [benchmark], near=None, identify=False)[0]) > 0.9 * len(rows)
