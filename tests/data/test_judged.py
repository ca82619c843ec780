"""Reading judged benchmarks from folders in their published formats, and every kind of bad input."""

import judged_folders
import pytest

from mixlingual.data.sources import judged_files
from mixlingual.data.sources.judged import load_judged
from mixlingual.data.sources.judged_files import read_qrels, tab_separated
from mixlingual.records import DataError

TOPICS = "miracl/miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-dev.tsv"
QRELS = "miracl/miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv"


@pytest.fixture
def root(tmp_path):
    for write in ("miracl", "miracl_hard_negatives", "mr_tydi", "belebele", "mkqa"):
        getattr(judged_folders, write)(tmp_path)
    return tmp_path


def texts(corpus):
    return [(passage.id, passage.text) for passage in corpus]


def test_miracl(root):
    benchmark = load_judged("miracl", root, ["yo", "sw"])
    assert (benchmark.languages, benchmark.complete, benchmark.note) == (("sw", "yo"), False, "")
    assert benchmark.measures == ("ndcg@10", "r@100")
    swahili, yoruba = benchmark.tasks
    assert [(query.id, query.text, query.paragraph) for query in swahili.queries] == [
        ("1", "swali moja", "1"),
        ("2", "swali mbili", "2"),
    ]
    assert swahili.qrels == {"1": {"1": 1, "9#0": 0}, "2": {"10#1": 1, "1": 1}}
    assert texts(swahili.corpus) == [("1", "A moja"), ("9#0", "tatu"), ("10#1", "C mbili")]
    assert texts(swahili.corpus) == texts(swahili.corpus), "a corpus can be read again"
    assert texts(yoruba.corpus) == [("9#0", "D idahun")]
    assert yoruba.qrels == {"1": {"9#0": 1}, "3": {"9#0": 1}}


def test_hard_negatives_say_that_they_do_not_compare(root):
    benchmark = load_judged("miracl_hard_negatives", root, ["sw"])
    [task] = benchmark.tasks
    assert "not comparable" in benchmark.note
    assert texts(task.corpus) == [("1", "A moja"), ("9#0", "tatu")]
    assert task.qrels == {"1": {"1": 1, "9#0": 0}}
    assert [query.text for query in task.queries] == ["swali"]


def test_mr_tydi(root):
    benchmark = load_judged("mr_tydi", root, ["sw"])
    [task] = benchmark.tasks
    assert benchmark.measures == ("mrr@100", "r@100")
    assert [query.id for query in task.queries] == ["0", "1"]
    assert task.qrels == {"0": {"5#1": 1}, "1": {"5#2": 1}}
    assert texts(task.corpus)[3] == ("5#3", "T aya 3")


def test_belebele_pairs_languages_with_themselves_and_with_english(root):
    benchmark = load_judged("belebele", root, None)
    assert benchmark.complete
    tasks = {(task.language, task.corpus.language): task for task in benchmark.tasks}
    assert set(tasks) == {
        ("deu_Latn", "deu_Latn"), ("eng_Latn", "eng_Latn"), ("swh_Latn", "swh_Latn"), ("deu_Latn", "eng_Latn"),
        ("eng_Latn", "deu_Latn"), ("swh_Latn", "eng_Latn"), ("eng_Latn", "swh_Latn"),
    }  # fmt: skip
    english = tasks["eng_Latn", "eng_Latn"]
    assert texts(english.corpus) == [("l/1#1", "P one"), ("l/2#1", "P two")]
    assert english.qrels == {"l/1#1": {"l/1#1": 1}, "l/1#2": {"l/1#1": 1}, "l/2#1": {"l/2#1": 1}}
    assert [query.paragraph for query in english.queries] == ["l/1#1", "l/1#1", "l/2#1"]
    assert tasks["eng_Latn", "deu_Latn"].qrels == {"l/1#2": {"l/1#2": 1}, "l/2#1": {"l/2#1": 1}}
    assert [query.text for query in tasks["swh_Latn", "eng_Latn"].queries] == ["W c", "W a", "W b"]
    assert len(load_judged("belebele", root, ["swh_Latn"]).tasks) == 1


def test_mkqa_asks_english_passages_in_every_language(root):
    benchmark = load_judged("mkqa", root, None)
    assert [(task.language, task.corpus.language) for task in benchmark.tasks] == [("de", "en"), ("en", "en")]
    german = benchmark.tasks[0]
    assert german.answers == {"7": ("zürich", "x"), "8": ("184",)}
    assert texts(german.corpus)[0] == ("doc0", "Zürich A city of Switzerland.")


def test_fingerprints_see_judgements_and_texts(root):
    before = load_judged("mr_tydi", root, ["sw"]).fingerprint
    path = root / "mr-tydi/mrtydi-v1.1-swahili/ir-format-data/qrels.test.txt"
    path.write_text("0 Q0 5#1 1\n1 Q0 5#3 1\n")
    assert load_judged("mr_tydi", root, ["sw"]).fingerprint != before


@pytest.mark.parametrize(
    ("name", "broken", "content", "message"),
    [
        ("miracl", TOPICS, "1\tq\n1\tr\n", "query id 1 occurs twice"),
        ("miracl", TOPICS, "5\tq\n", r"1 queries have no judgement, the first is 5"),
        ("miracl", TOPICS, "1\n", r"line 1: got 1 fields, expected 2"),
        ("miracl", QRELS, None, r"dev.tsv is missing"),
        ("miracl", QRELS, "1 Q0 1 yes\n", r"relevance 'yes' is no whole number"),
        ("miracl", QRELS, "1 Q0 1 1\n1 Q0 1 0\n", r"judges passage 1 twice"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1}\n', r"every line needs id, question and answers"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1, "question": "q", "answers": "8"}\n', r"answers of question 1 are no list"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1\n', r"de.jsonl, near line 1: cannot be read"),
        ("belebele", "belebele/data/eng_Latn.jsonl", '{"link": 1}\n', r"line 1: is not a question of Belebele"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(root, name, broken, content, message):
    if content is None:
        (root / broken).unlink()
    else:
        (root / broken).write_text(content)
    with pytest.raises(DataError, match=message):
        load_judged(name, root, ["sw"] if name == "miracl" else None)


def test_bad_passages_are_refused_when_they_are_read(root):
    path = root / "miracl-corpus/miracl-corpus-v1.0-sw/docs-0.jsonl.gz"
    judged_folders.write_lines(path, [{"id": "1", "text": "x"}])
    [task] = load_judged("miracl", root, ["sw"]).tasks
    with pytest.raises(DataError, match=r"docs-0.jsonl.gz, row 1: needs docid and text; got \['id', 'text'\]"):
        list(task.corpus)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"docs-0.jsonl.gz, near line 0: cannot be read"):
        list(task.corpus)


def test_missing_data_sets_and_languages_say_what_to_do(root, tmp_path):
    with pytest.raises(DataError, match=r"miracl has no language xx; it has ar, bn"):
        load_judged("miracl", root, ["xx"])
    with pytest.raises(DataError, match=r"miracl has no languages to evaluate"):
        load_judged("miracl", root, [])
    with pytest.raises(DataError, match=r"hf download miracl/miracl --repo-type dataset --local-dir .*/nowhere/miracl"):
        load_judged("miracl", tmp_path / "nowhere", ["sw"])
    with pytest.raises(DataError, match=r"mkqa needs evaluation.root=FOLDER with the unpacked MKQA_test-data.zip"):
        load_judged("mkqa", None, None)
    with pytest.raises(DataError, match=r"miracl-corpus-v1.0-th/docs-\*.jsonl\* matches no file"):
        load_judged("miracl", root, ["th"])


def test_the_hub_is_asked_for_the_files_that_are_needed(monkeypatch, root):
    asked = []

    def snapshot(repository, repo_type, allow_patterns):
        asked.append((repository, repo_type, allow_patterns))
        return str(root / repository.partition("/")[2])

    monkeypatch.setattr(judged_files, "snapshot_download", snapshot)
    assert load_judged("mr_tydi", None, ["sw"]).languages == ("sw",)
    assert asked == [
        ("castorini/mr-tydi", "dataset", ["mrtydi-v1.1-swahili/ir-format-data/*.test.txt"]),
        ("castorini/mr-tydi-corpus", "dataset", ["mrtydi-v1.1-swahili/*"]),
    ]

    def offline(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(judged_files, "snapshot_download", offline)
    with pytest.raises(DataError, match=r"cannot be fetched \(no route\). .* --local-dir FOLDER/mr-tydi` and set eval"):
        load_judged("mr_tydi", None, ["sw"])


def test_fields_are_split_at_tabs_or_spaces(tmp_path):
    path = tmp_path / "f"
    path.write_text("a\tb c\nd e\n")
    assert list(tab_separated(path, 2)) == [["a", "b c"], ["d", "e"]]
    path.write_bytes("a\tb\u2028c\x85d\x0be\r\nf\tg".encode())
    assert list(tab_separated(path, 2)) == [["a", "b\u2028c\x85d\x0be"], ["f", "g"]], "a line ends at a line feed only"
    path.write_text("1 0 x#1 2\n1 0 y 0\n")
    assert read_qrels(path) == {"1": {"x#1": 2, "y": 0}}
