"""Reading LAReQA: its gold rule, its published counts on the real files, and every kind of bad input."""

import gzip
import hashlib
import io
import json
from pathlib import Path
from urllib.error import URLError

import pytest

from mixlingual.config.schema import UNITS
from mixlingual.data.sources import lareqa
from mixlingual.data.sources.lareqa import Pin, build_benchmark, load_lareqa, parse_squad, read_pins
from mixlingual.records import DataError

XQUAD_CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244,
    "ru": 1219, "th": 852, "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip
MLQA_CANDIDATES = {"ar": 2545, "de": 2362, "en": 6264, "es": 1787, "hi": 2426, "vi": 2828, "zh": 2322}
MLQA_QUERIES = {"ar": 517, "de": 512, "en": 1148, "es": 500, "hi": 507, "vi": 511, "zh": 504}
FILE = Path("made/up.json")


def paragraph(*questions, sentences=("One.", "Two.", "Six.")):
    """Sentences in four characters each with a space between; questions as (id, answer_start)."""
    return {
        "context": " ".join(sentences),
        "sentences": list(sentences),
        "sentence_breaks": [[5 * i, 5 * i + len(text)] for i, text in enumerate(sentences)],
        "qas": [
            {"id": identity, "question": f"{identity}?", "answers": [{"answer_start": start, "text": "x"}]}
            for identity, start in questions
        ],
    }


def squad(*paragraphs):
    """Each paragraph in an article of its own."""
    return json.dumps({"data": [{"title": "t", "paragraphs": [p]} for p in paragraphs], "version": "1"}).encode()


def count(records):
    counts = {}
    for record in records:
        counts[record.language] = counts.get(record.language, 0) + 1
    return counts


@pytest.fixture
def pinned(monkeypatch):
    """Two made-up files of a benchmark `xquad_r` of two languages: language -> content."""
    files = {"de": squad(paragraph(("q1", 0), ("q2", 6))), "en": squad(paragraph(("q2", 0), ("q1", 11)))}
    pins = {
        language: Pin(
            f"xquad-r/{language}.json", f"https://example.org/{language}.json", "free",
            len(content), hashlib.sha256(content).hexdigest(),
        )
        for language, content in files.items()
    }  # fmt: skip
    monkeypatch.setattr(lareqa, "read_pins", lambda name: pins)
    return files


@pytest.fixture
def folder(tmp_path, pinned):
    """A root with one plain and one compressed file."""
    (tmp_path / "xquad-r").mkdir()
    (tmp_path / "xquad-r" / "de.json").write_bytes(pinned["de"])
    (tmp_path / "xquad-r" / "en.json.gz").write_bytes(gzip.compress(pinned["en"]))
    return tmp_path


@pytest.mark.parametrize(("start", "gold"), [(0, 0), (3, 0), (5, 1), (8, 1), (10, 2), (13, 2)])
def test_gold_is_the_sentence_that_the_answer_starts_in(start, gold):
    [parsed] = parse_squad(squad(paragraph(("q", start))), FILE)
    assert parsed.questions[0].gold == gold


@pytest.mark.parametrize(("start", "gold"), [(3, 0), (4, 1), (7, 1), (8, 2)])
def test_where_sentences_touch_an_answer_at_the_seam_is_in_the_later_one(start, gold):
    raw = paragraph(("q", start))
    raw["sentence_breaks"] = [[0, 4], [4, 8], [8, 12]]
    [parsed] = parse_squad(squad(raw), FILE)
    assert parsed.questions[0].gold == gold


def test_languages_are_joined_by_question_id():
    files = {
        "de": parse_squad(squad(paragraph(sentences=("Nie.",)), paragraph(("q1", 0), ("q2", 6))), FILE),
        "en": parse_squad(squad(paragraph(("q2", 11)), paragraph(("q3", 0))), FILE),
    }
    benchmark = build_benchmark("toy", files, complete=True)
    assert benchmark.languages == ("de", "en")
    assert [candidate.id for candidate in benchmark.candidates[:5]] == [
        "de/0000/00", "de/0001/00", "de/0001/01", "de/0001/02", "en/0000/00",
    ]  # fmt: skip
    gold_ids = {key: benchmark.candidates[position].id for key, position in benchmark.gold.items()}
    assert gold_ids == {
        ("q1", "de"): "de/0001/00",
        ("q2", "de"): "de/0001/01",
        ("q2", "en"): "en/0000/02",
        ("q3", "en"): "en/0001/00",
    }
    assert [(query.id, query.language, query.text) for query in benchmark.queries] == [
        ("q1", "de", "q1?"), ("q2", "de", "q2?"), ("q2", "en", "q2?"), ("q3", "en", "q3?"),
    ]  # fmt: skip


def test_equal_sentences_stay_separate_candidates():
    files = {"de": parse_squad(squad(paragraph(("q", 6), sentences=("Ja.", "Ja."))), FILE)}
    benchmark = build_benchmark("toy", files, complete=True)
    assert [candidate.text for candidate in benchmark.candidates] == ["Ja.", "Ja."]
    assert benchmark.gold == {("q", "de"): 1}


def test_questions_cluster_through_the_paragraphs_of_every_language():
    files = {
        "de": parse_squad(squad(paragraph(("c", 0), ("b", 0)), paragraph(("e", 0))), FILE),
        "en": parse_squad(
            squad(paragraph(("b", 0), ("a", 0)), paragraph(("c", 0)), paragraph(("e", 0), ("d", 0))), FILE
        ),
    }
    clusters = {query.id: query.paragraph for query in build_benchmark("toy", files, complete=True).queries}
    assert clusters == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}


def test_the_fingerprint_sees_texts_and_gold():
    def print_of(start, text):
        files = {"de": parse_squad(squad(paragraph(("q", start), sentences=("Ja.", text))), FILE)}
        return build_benchmark("toy", files, complete=True).fingerprint

    assert print_of(0, "No.") == print_of(1, "No.")
    assert len({print_of(0, "No."), print_of(6, "No."), print_of(0, "No!")}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"data": [', r"made/up.json is not SQuAD-like JSON \(JSONDecodeError"),
        (b"\xff\xfe\x00", r"made/up.json is not SQuAD-like JSON"),
        (b'{"version": 1}', r"made/up.json is not SQuAD-like JSON \(KeyError\('data'\)\)"),
        (b'[{"a": 1}]', r"made/up.json is not SQuAD-like JSON"),
        (squad(paragraph(("a", 0)), {"qas": []}), r"up.json, paragraph 1 does not have LAReQA's form .*'context'"),
        (squad({**paragraph(("a", 0)), "sentence_breaks": [[0, 4]]}), r"paragraph 0 has 3 sentences but 1 sentence_br"),
        (squad(paragraph(("a", 99))), r"paragraph 0, question a: the answer at character 99 is in no sentence"),
        (squad(paragraph(("a", 0)), paragraph(("a", 0))), r"made/up.json: question id a occurs twice"),
    ],
)
def test_bad_content_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        parse_squad(content, FILE)


def test_a_folder_may_hold_plain_and_compressed_files(folder):
    benchmark = load_lareqa("xquad_r", folder, None)
    assert (benchmark.name, benchmark.languages, benchmark.complete) == ("xquad_r", ("de", "en"), True)
    assert (len(benchmark.queries), len(benchmark.candidates)) == (4, 6)


def test_languages_can_be_restricted(folder):
    benchmark = load_lareqa("xquad_r", folder, ["en"])
    assert (benchmark.languages, benchmark.complete) == (("en",), False)
    assert benchmark.fingerprint != load_lareqa("xquad_r", folder, None).fingerprint
    assert load_lareqa("xquad_r", folder, ["en", "de"]) == load_lareqa("xquad_r", folder, None)


def test_a_candidate_is_a_sentence_with_its_context_or_the_context(folder):
    units = {unit: load_lareqa("xquad_r", folder, ["en"], unit) for unit in UNITS}
    assert len({benchmark.fingerprint for benchmark in units.values()}) == 3
    for unit, benchmark in units.items():
        assert (benchmark.unit, benchmark.queries) == (unit, units["sentence"].queries)
    texts = {unit: [candidate.text for candidate in benchmark.candidates] for unit, benchmark in units.items()}
    context = "One. Two. Six."
    assert texts["sentence"] == ["One.", "Two.", "Six."]
    assert texts["sentence_in_context"] == [f"{sentence}\n{context}" for sentence in texts["sentence"]]
    assert texts["paragraph"] == [context]
    assert units["sentence_in_context"].gold == units["sentence"].gold == {("q2", "en"): 0, ("q1", "en"): 2}
    assert units["paragraph"].gold == {("q2", "en"): 0, ("q1", "en"): 0}
    assert units["paragraph"].candidates[0].id == "en/0000"


def test_unknown_languages_are_refused(folder):
    with pytest.raises(DataError, match=r"xquad_r has no language fr, xx; it has de, en. Change evaluation.languages"):
        load_lareqa("xquad_r", folder, ["xx", "de", "fr"])
    with pytest.raises(DataError, match="no languages to evaluate"):
        load_lareqa("xquad_r", folder, [])


def test_a_missing_file_says_what_to_put_where(folder):
    (folder / "xquad-r" / "de.json").unlink()
    with pytest.raises(DataError, match=r"xquad-r/de.json is missing, and so is de.json.gz. Download https://example"):
        load_lareqa("xquad_r", folder, None)


def test_a_truncated_archive_is_refused(folder):
    file = folder / "xquad-r" / "en.json.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"en.json.gz cannot be read \(.*\). Replace it by https://example.org/en.json"):
        load_lareqa("xquad_r", folder, None)
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"en.json.gz cannot be read \(Not a gzipped file"):
        load_lareqa("xquad_r", folder, None)


def test_changed_content_is_refused(folder, pinned):
    file = folder / "xquad-r" / "de.json"
    file.write_bytes(pinned["de"].replace(b"q1?", b"q0?"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    with pytest.raises(
        DataError, match=rf"de.json is not the published file: \d+ bytes with SHA-256 {digest}, expected"
    ):
        load_lareqa("xquad_r", folder, None)


def test_files_are_fetched_once_into_the_cache(pinned, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path))
    fetched = []

    def serve(url, timeout):
        fetched.append(url)
        return io.BytesIO(pinned[url.removesuffix(".json")[-2:]])

    monkeypatch.setattr(lareqa, "urlopen", serve)
    benchmark = load_lareqa("xquad_r", None, None)
    assert fetched == ["https://example.org/de.json", "https://example.org/en.json"]
    assert (tmp_path / "benchmarks" / "xquad-r" / "de.json").read_bytes() == pinned["de"]
    assert load_lareqa("xquad_r", None, None) == benchmark
    assert len(fetched) == 2


def test_without_network_the_message_says_where_to_put_the_file(pinned, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path))

    def fail(url, timeout):
        raise URLError("no route")

    monkeypatch.setattr(lareqa, "urlopen", fail)
    place = tmp_path / "benchmarks" / "xquad-r" / "de.json"
    expected = rf"{place} is missing and https://example.org/de.json cannot be fetched \(.*no route.*\). Put that file"
    with pytest.raises(DataError, match=expected):
        load_lareqa("xquad_r", None, None)


@pytest.mark.parametrize("sent", [b"", b"<html>blocked</html>", None])
def test_a_wrong_download_is_refused_and_not_kept(pinned, monkeypatch, tmp_path, sent):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path))
    monkeypatch.setattr(
        lareqa, "urlopen", lambda url, timeout: io.BytesIO(pinned["de"] + b" " if sent is None else sent)
    )
    with pytest.raises(
        DataError, match=r"did not send the published file: \d+ bytes .* set evaluation.root to a folder"
    ):
        load_lareqa("xquad_r", None, None)
    assert not list(tmp_path.rglob("*.json"))


def test_pins_name_one_commit_and_every_language():
    for name, languages in (("xquad_r", XQUAD_CANDIDATES), ("mlqa_r", MLQA_CANDIDATES)):
        pins = read_pins(name)
        assert list(pins) == list(languages)
        for language, pin in pins.items():
            assert pin.file == f"{name.replace('_', '-')}/{language}.json"
            assert pin.url.endswith(f"/lareqa/354d67d1cd066854cdfbf5ad0e6105528976141d/{pin.file}")
            assert len(pin.sha256) == 64


def test_xquad_r_has_its_published_counts(real_data):
    benchmark = load_lareqa("xquad_r", real_data, None)
    assert benchmark.complete
    assert count(benchmark.candidates) == XQUAD_CANDIDATES
    assert count(benchmark.queries) == dict.fromkeys(XQUAD_CANDIDATES, 1190)
    assert len(benchmark.gold) == 13090
    clusters = {query.id: query.paragraph for query in benchmark.queries}
    assert (len(clusters), len(set(clusters.values()))) == (1190, 240)
    place = {query.id: benchmark.candidates[benchmark.gold[query.id, "en"]].id[3:7] for query in benchmark.queries}
    assert len({(clusters[question], place[question]) for question in place}) == 240


@pytest.mark.parametrize(("name", "paragraphs"), [("xquad_r", 240), ("mlqa_r", 978)])
def test_paragraphs_are_candidates_and_every_question_has_its_own(real_data, name, paragraphs):
    benchmark = load_lareqa(name, real_data, None, "paragraph")
    assert count(benchmark.candidates)["en"] == paragraphs
    in_context = load_lareqa(name, real_data, None, "sentence_in_context")
    assert len(in_context.gold) == len(benchmark.gold)
    for key, position in benchmark.gold.items():
        sentence = in_context.candidates[in_context.gold[key]]
        assert sentence.id.startswith(benchmark.candidates[position].id + "/")
        assert sentence.text.endswith("\n" + benchmark.candidates[position].text)


def test_mlqa_r_has_its_published_counts(real_data):
    benchmark = load_lareqa("mlqa_r", real_data, None)
    assert count(benchmark.candidates) == MLQA_CANDIDATES
    assert count(benchmark.queries) == MLQA_QUERIES
    present = {}
    for question, _ in benchmark.gold:
        present[question] = present.get(question, 0) + 1
    assert [list(present.values()).count(n) for n in (2, 3, 4)] == [65, 263, 820]
    shared = {question for question, language in benchmark.gold if language == "ar"}
    assert len(shared & {question for question, language in benchmark.gold if language == "de"}) == 207
    assert len({query.paragraph for query in benchmark.queries}) == 933


def test_candidates_of_the_real_data_sort_as_the_texts_stand(real_data):
    benchmark = load_lareqa("mlqa_r", real_data, ["en", "zh"])
    ids = [candidate.id for candidate in benchmark.candidates]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids) == 6264 + 2322
    assert not benchmark.complete


@pytest.mark.parametrize(("name", "moved"), [("mlqa-r", 33), ("xquad-r", 30)])
def test_how_often_the_rule_with_closed_ends_names_another_sentence(real_data, name, moved):
    """The counts of docs/decisions/0004-gold-sentence.md; each answer's text is in the sentence of our rule."""
    seams, in_the_other_too = 0, 0
    for file in sorted((real_data / name).glob("*.json*")):
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8") as text:
            paragraphs = [p for article in json.load(text)["data"] for p in article["paragraphs"]]
        for paragraph in paragraphs:
            for qa in paragraph["qas"]:
                answer = qa["answers"][0]
                start, spans = answer["answer_start"], list(enumerate(paragraph["sentence_breaks"]))
                ours = next(i for i, (begin, end) in spans if begin <= start < end)
                closed = next(i for i, (begin, end) in spans if begin <= start <= end)
                if ours != closed:
                    seams += 1
                    assert answer["text"] in paragraph["sentences"][ours]
                    in_the_other_too += answer["text"] in paragraph["sentences"][closed]
    assert seams == moved
    assert in_the_other_too == {"mlqa-r": 6, "xquad-r": 2}[name]
