"""Reading judged benchmarks from folders in their published formats, and every kind of bad input."""

import judged_folders
import pytest

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.registry import load_benchmark
from mixlingual.data.sources import judged
from mixlingual.data.sources.judged import matching, read_qrels, read_topics
from mixlingual.records import DataError


def load_judged(name, root, languages):
    return load_benchmark(name, EvaluationConfig(root=None if root is None else str(root), languages=languages))


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
        ("miracl", TOPICS, "1 2\tq\n", r'line 1: id is "1 2"; an id must not be empty or hold white space'),
        ("miracl", QRELS, None, r"dev.tsv is missing"),
        ("miracl", QRELS, "1 Q0 1 yes\n", r"line 1: the relevance 'yes' is no whole number"),
        ("miracl", QRELS, "1 Q0 1 \u00b2\n", r"line 1: the relevance '\u00b2' is no whole number"),
        ("miracl", QRELS, "1 Q0 1 1\n1 Q0 1 0\n", r"line 2: query 1 judges passage 1 twice"),
        ("miracl", QRELS, "1\tQ0\tdoc 1\t1\n", r"line 1: got 5 fields, expected 4"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1}\n', r"line 1: question is missing or null; it must be a text"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1, "question": null, "answers": ["x"]}\n', r"line 1: question is missing"),
        ("mkqa", "mkqa/de.jsonl", '{"id": true, "question": "q", "answers": []}\n', r"line 1: id is true; it must"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1, "question": "q", "answers": "8"}\n', r'line 1: answers is "8", no list'),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1, "question": "q", "answers": ["", null, 7]}\n', r"answers\[1\] is missing"),
        ("mkqa", "mkqa/de.jsonl", '{"id": 1\n', r"de.jsonl, line 1: the line is not valid JSON"),
        ("belebele", "belebele/data/eng_Latn.jsonl", '{"link": 1}\n', r"line 1: question_number is missing or null"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(root, name, broken, content, message):
    if content is None:
        (root / broken).unlink()
    else:
        (root / broken).write_text(content)
    with pytest.raises(DataError, match=message):
        load_judged(name, root, ["sw"] if name == "miracl" else None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1", "text": "x"}', "line 1: docid is missing or null"),
        ('{"docid": "1", "text": null}', "line 1: text is missing or null; it must be a text"),
        ('{"docid": "1", "text": 7}', "line 1: text is 7; it must be a text"),
        ('{"docid": "1", "title": ["a"], "text": "x"}', r'line 1: title is \["a"\]; it must be a text'),
        ('{"docid": "d 6", "text": "x"}', 'line 1: docid is "d 6"; an id must not be empty or hold white space'),
        ('{"docid": "", "text": "x"}', 'line 1: docid is ""; an id must not be empty'),
        ('{"docid": "1", "text": "half \\ud83d emoji"}', "line 1: the line is not valid Unicode .* is half of a pair"),
    ],
)
def test_bad_passages_are_refused_when_they_are_read(root, line, message):
    path = root / "miracl-corpus/miracl-corpus-v1.0-sw/docs-0.jsonl"
    path.write_text(line + "\n")
    [task] = load_judged("miracl", root, ["sw"]).tasks
    with pytest.raises(DataError, match=rf"docs-0.jsonl, {message}"):
        list(task.corpus)


def test_files_as_windows_and_archives_leave_them_read_alike(root):
    """Byte order marks, carriage returns, blank last lines, and dotfiles beside the files."""
    expected = load_judged("miracl", root, ["sw"]), load_judged("mkqa", root, None)
    corpus = texts(expected[0].tasks[0].corpus)
    for path in [root / TOPICS, root / QRELS, *(root / "mkqa").glob("*")]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\n")
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    passages = root / "miracl-corpus/miracl-corpus-v1.0-sw"
    passages.joinpath("._docs-0.jsonl.gz").write_bytes(b"\0\5\x16\7")
    found = load_judged("miracl", root, ["sw"]), load_judged("mkqa", root, None)
    assert [each.fingerprint for each in found] == [each.fingerprint for each in expected]
    assert [query.id for query in found[0].tasks[0].queries] == ["1", "2"]
    assert texts(found[0].tasks[0].corpus) == corpus
    (root / "belebele/data/.eng_Latn.jsonl").touch()
    assert "" not in {path.stem for path in matching(root / "belebele/data", "*.jsonl")}
    assert len(matching(root / "belebele/data", "*.jsonl")) == 3


def test_judgements_in_parquet_are_checked_as_those_in_text(root):
    path = root / "MIRACLRetrievalHardNegatives/sw-qrels/dev-00000-of-00001.parquet"
    for scores, message in (
        ([1, 0], "row 2: query 1 judges passage 1 twice"),
        ([0.5, 1], "row 1: the relevance is 0.5"),
    ):
        table = {"query-id": ["1", "1"], "corpus-id": ["1", "1"], "score": scores}
        judged_folders.pq.write_table(judged_folders.pa.table(table), path)
        with pytest.raises(DataError, match=message):
            load_judged("miracl_hard_negatives", root, ["sw"])
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match=r"parquet, line 1: the file is a Git LFS pointer"):
        load_judged("miracl_hard_negatives", root, ["sw"])


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

    def snapshot(repository, repo_type, allow_patterns, revision):
        assert revision is None
        asked.append((repository, repo_type, allow_patterns))
        return str(root / repository.partition("/")[2])

    monkeypatch.setattr(judged, "snapshot_download", snapshot)
    assert load_judged("mr_tydi", None, ["sw"]).languages == ("sw",)
    assert asked == [
        ("castorini/mr-tydi", "dataset", ["mrtydi-v1.1-swahili/ir-format-data/*.test.txt"]),
        ("castorini/mr-tydi-corpus", "dataset", ["mrtydi-v1.1-swahili/*"]),
    ]

    def offline(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(judged, "snapshot_download", offline)
    with pytest.raises(DataError, match=r"cannot be fetched \(no route\). .* --local-dir FOLDER/mr-tydi` and set eval"):
        load_judged("mr_tydi", None, ["sw"])


def test_fields_are_split_at_tabs_or_ascii_spaces(tmp_path):
    path = tmp_path / "f"
    path.write_bytes("a\tb\u2028c\x85d\x0be\r\nf\tg\nh i\n".encode())
    topics = [(query.id, query.text) for query in read_topics(path, "en")]
    assert topics == [("a", "b\u2028c\x85d\x0be"), ("f", "g"), ("h", "i")], "a line ends at a line feed only"
    path.write_text("1 0 x#1 2\n1\t0  y\u00a0z\t0\n2\u3000a 0 b -1\n", encoding="utf-8")
    assert read_qrels(path) == {"1": {"x#1": 2, "y\u00a0z": 0}, "2\u3000a": {"b": -1}}
