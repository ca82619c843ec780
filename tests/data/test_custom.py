"""Benchmarks of the user's own, in files as people have them: what they become, and what is said of bad ones."""

import gzip
import json
import logging

import pytest
from custom_folder import HEAD
from custom_folder import write_language as language
from judged_folders import write_lines, write_text

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.registry import load_benchmark, load_benchmarks
from mixlingual.records import Benchmark, DataError, JudgedBenchmark


def parallel(root):
    """Two questions in German and English; Swahili lacks a question, German a passage; p1 and p2 answer q1."""
    language(
        root, "de", {"q1": "Wo?", "q2": "Wann?", "q9": "ungefragt"}, {"p1": "hier", "p2": "da", "p9": "x"},
        [("q1", "p1", 2), ("q1", "p2", 1), ("q2", "p3", 1)],
    )  # fmt: skip
    language(
        root, "en", {"q1": "Where?", "q2": "When?"}, {"p1": "here", "p2": "there", "p3": "now", "p9": "x"},
        [("q1", "p2", 1), ("q1", "p1", 2), ("q2", "p3", 1), ("q2", "p9", 0)],
    )  # fmt: skip
    language(root, "sw", {"q2": "Lini?"}, {"p3": "sasa"}, [])


def separate(root):
    language(root, "de", {"a": "Wo?", "c": "unbewertet"}, {"x": "hier", "y": "da"}, [("a", "y", 3), ("a", "x", 0)])
    language(root, "en", {"b": "Where?"}, {"z": "here"}, [("b", "z", 1)])


def loaded(root, **options):
    return load_benchmark("mine", EvaluationConfig(custom={"mine": str(root)}, **options))


def test_shared_ids_make_a_parallel_benchmark(tmp_path):
    parallel(tmp_path)
    found = loaded(tmp_path)
    assert isinstance(found, Benchmark)
    assert (found.name, found.languages, found.complete, found.unit) == ("mine", ("de", "en", "sw"), True, "passage")
    asked = [(query.id, query.language, query.text) for query in found.queries]
    assert asked == [
        ("q1", "de", "Wo?"), ("q2", "de", "Wann?"), ("q1", "en", "Where?"), ("q2", "en", "When?"), ("q2", "sw", "Lini?")
    ]  # fmt: skip
    assert [candidate.id for candidate in found.candidates][:4] == ["de/p1", "de/p2", "de/p9", "en/p1"]
    assert found.answers == {"q1": {"p1": 2, "p2": 1}, "q2": {"p3": 1}}
    held = {key: found.candidates[position].text for key, position in found.gold.items()}
    assert held == {
        ("p1", "de"): "hier", ("p1", "en"): "here", ("p2", "de"): "da", ("p2", "en"): "there",
        ("p3", "en"): "now", ("p3", "sw"): "sasa",
    }  # fmt: skip


def test_questions_that_share_an_answer_are_one_cluster(tmp_path):
    queries = {f"q{n}": f"text {n}" for n in range(4)}
    judged = [("q0", "p0", 1), ("q1", "p0", 1), ("q1", "p1", 1), ("q2", "p1", 1), ("q3", "p3", 1)]
    for code in ("de", "en"):
        language(tmp_path, code, queries, {f"p{n}": f"text {n}" for n in range(4)}, judged)
    paragraphs = {query.id: query.paragraph for query in loaded(tmp_path).queries}
    assert paragraphs == {"q0": "q0", "q1": "q0", "q2": "q0", "q3": "q3"}


def test_languages_without_shared_ids_are_on_their_own(tmp_path, caplog):
    separate(tmp_path)
    found = loaded(tmp_path)
    assert isinstance(found, JudgedBenchmark)
    assert (found.languages, found.measures, found.complete) == (("de", "en"), ("ndcg@10", "r@100"), True)
    german, english = found.tasks
    assert [query.id for query in german.queries] == ["a"], "c is not judged"
    assert german.qrels == {"a": {"y": 3, "x": 0}}
    assert [(passage.id, passage.text) for passage in english.corpus] == [("z", "here")]
    assert loaded(tmp_path, languages=["en"]).complete is False
    write_text(tmp_path / "de/qrels/test.tsv", HEAD + "a\ty\t3\nb\ty\t1\n")
    with pytest.raises(DataError, match=r"test.tsv, line 3: there is no query 'b'; add it to queries.jsonl"):
        loaded(tmp_path, shared_ids=False)


def test_the_user_may_say_what_ids_mean(tmp_path):
    """One language is never parallel by itself; as a parallel set it is ranked to the end."""
    language(tmp_path, "de", {"1": "Wo?"}, {"1": "hier", "2": "da"}, [("1", "1", 1)])
    assert isinstance(loaded(tmp_path), JudgedBenchmark)
    assert isinstance(loaded(tmp_path, shared_ids=True), Benchmark)
    language(tmp_path, "en", {"1": "Where?"}, {"1": "here", "2": "there"}, [("1", "1", 1)])
    assert isinstance(loaded(tmp_path), Benchmark)
    assert isinstance(loaded(tmp_path, shared_ids=False), JudgedBenchmark)


def test_questions_in_one_language_about_passages_in_another(tmp_path):
    language(tmp_path, "bem", {"q": "mwaba?"}, {}, [("q", "p", 1)])
    language(tmp_path, "en", {}, {"p": "here", "r": "there"}, [])
    found = loaded(tmp_path)
    assert found.gold == {("p", "en"): 0}
    assert found.size.candidates == 2
    assert loaded(tmp_path, languages=["bem", "en"]) == found


def test_a_subset_of_languages_keeps_the_form_and_the_judgements(tmp_path):
    parallel(tmp_path)
    found = loaded(tmp_path, languages=["sw", "de"])
    assert isinstance(found, Benchmark)
    assert (found.languages, found.complete) == (("de", "sw"), False)
    assert [(query.id, query.language) for query in found.queries] == [("q1", "de"), ("q2", "de"), ("q2", "sw")]
    assert found.answers["q2"] == {"p3": 1}, "judged in German and English only, and there in Swahili"
    assert isinstance(loaded(tmp_path, languages=["sw"]), Benchmark)
    with pytest.raises(DataError, match=r"mine has no language xx; it has de, en, sw"):
        loaded(tmp_path, languages=["xx"])


def test_a_parallel_benchmark_beyond_memory_is_searched_in_shards(tmp_path, monkeypatch, caplog):
    parallel(tmp_path)
    whole = loaded(tmp_path)
    monkeypatch.setattr("mixlingual.data.sources.custom.IN_MEMORY", 10)
    found = loaded(tmp_path)
    assert isinstance(found, JudgedBenchmark)
    tasks = {(task.language, task.corpus.language): task for task in found.tasks}
    expected = {
        (query.language, code): {
            other.id: row
            for other in whole.queries
            if other.language == query.language
            and (row := {a: g for a, g in whole.answers[other.id].items() if (a, code) in whole.gold})
        }
        for query in whole.queries
        for code in whole.languages
    }
    assert {key: task.qrels for key, task in tasks.items()} == {key: rows for key, rows in expected.items() if rows}
    assert "passages are too many to be ranked whole" in found.note
    assert found.note in caplog.text
    write_text(tmp_path / "de/qrels/test.tsv", "q1\tp1\t2\nq1\tp2\t1\nq1\tp7\t1\n")
    with pytest.raises(DataError, match=r"line 3: no corpus.jsonl has the passage 'p7'"):
        loaded(tmp_path)


def test_lareqas_json_needs_no_checksum(tmp_path):
    def file(question, sentences):
        text = " ".join(sentences)
        breaks = [[text.index(s), text.index(s) + len(s)] for s in sentences]
        answers = [{"answer_start": breaks[1][0], "text": "x"}]
        qas = [{"id": "q", "question": question, "answers": answers}]
        paragraph = {"context": text, "sentences": sentences, "sentence_breaks": breaks, "qas": qas}
        return json.dumps({"data": [{"paragraphs": [paragraph]}]}).encode()

    (tmp_path / "yo.json").write_bytes(file("kini?", ["Eni.", "Eji."]))
    (tmp_path / "sw.json.gz").write_bytes(gzip.compress(file("nini?", ["Moja.", "Mbili.", "Tatu."])))
    found = loaded(tmp_path)
    assert (found.name, found.languages, found.complete) == ("mine", ("sw", "yo"), True)
    assert {found.candidates[position].id for position in found.gold.values()} == {"sw/0000/01", "yo/0000/01"}
    assert loaded(tmp_path, unit="paragraph").size.candidates == 2
    (tmp_path / "sw.json.gz").write_bytes(gzip.compress(b'{"data": [{"paragraphs": [{"context": "x"}]}]}'))
    with pytest.raises(
        DataError, match=r"sw.json.gz, paragraph 0 does not have LAReQA's form .* it needs context, sen"
    ):
        loaded(tmp_path)
    (tmp_path / "sw.json.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"sw.json.gz cannot be read .*; compress or copy it again"):
        loaded(tmp_path)


@pytest.mark.parametrize("make", [parallel, separate])
def test_the_fingerprint_is_that_of_the_content(tmp_path, make):
    make(tmp_path / "a")
    make(tmp_path / "b")
    print_of = {name: loaded(tmp_path / name).fingerprint for name in "ab"}
    assert print_of["a"] == print_of["b"]
    for file in ("queries.jsonl", "corpus.jsonl", "qrels/test.tsv"):
        path = tmp_path / "b/de" / file
        before = path.read_bytes()
        path.write_bytes(before.replace(b"Wo?", b"wo?").replace(b"hier", b"Hier").replace(b"\t2\n", b"\t7\n")
                         .replace(b"\t3\n", b"\t4\n"))  # fmt: skip
        assert path.stat().st_size == len(before)
        if make is parallel and file.startswith("qrels"):
            continue  # languages would disagree
        assert loaded(tmp_path / "b").fingerprint != print_of["b"], file
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("head", "file"),
    [("", "qrels/dev.tsv"), ("query_id\tcorpus_id\tscore\n", "qrels/test.tsv"), (HEAD.upper(), "qrels/test.tsv")],
)
def test_judgements_in_other_spellings(tmp_path, head, file):
    language(tmp_path, "de", {"a": "Wo?"}, {"x": "hier"}, [("a", "x", "2.0")], head=head, file=file)
    assert loaded(tmp_path).tasks[0].qrels == {"a": {"x": 2}}


def test_judgements_as_trec_has_them_and_other_splits_beside(tmp_path):
    language(tmp_path, "de", {"a": "Wo?"}, {"x": "hier"}, [])
    write_text(tmp_path / "de/qrels/test.tsv", "a Q0 x 1\n")
    write_text(tmp_path / "de/qrels/train.tsv", "b Q0 x 1\n")
    assert loaded(tmp_path).tasks[0].qrels == {"a": {"x": 1}}
    (tmp_path / "de/qrels/test.tsv").rename(tmp_path / "de/qrels/dev.tsv")
    with pytest.raises(
        DataError, match=r"qrels holds dev.tsv, train.tsv; keep the one to be evaluated, or call it tes"
    ):
        loaded(tmp_path)


def test_ids_may_be_whole_numbers_and_files_compressed(tmp_path):
    write_lines(tmp_path / "de/queries.jsonl.gz", [{"_id": 7, "text": "Wo?"}])
    write_lines(tmp_path / "de/corpus.jsonl.gz", [{"id": 1, "title": "Ort", "text": "hier"}])
    write_text(tmp_path / "de/qrels/test.tsv", "7\t1\t1\n")
    (task,) = loaded(tmp_path).tasks
    assert [passage.text for passage in task.corpus] == ["Ort hier"]
    write_lines(tmp_path / "de/queries.jsonl", [{"_id": 7, "text": "Wo?"}])
    with pytest.raises(DataError, match=r"de holds queries.jsonl and queries.jsonl.gz; keep one of them"):
        loaded(tmp_path)


def test_questions_without_an_answer_are_left_out_and_counted(tmp_path, caplog):
    parallel(tmp_path)
    for code in ("de", "en"):
        with (tmp_path / code / "qrels/test.tsv").open("a") as file:
            file.write("q8\tp1\t0\n")
        with (tmp_path / code / "queries.jsonl").open("a") as file:
            file.write('{"_id": "q8", "text": "?"}\n')
    with caplog.at_level(logging.WARNING):
        found = loaded(tmp_path)
    assert "q8" not in {query.id for query in found.queries}
    assert "mine: 2 judged queries have no relevant passage and are left out" in caplog.text


def clash(root):
    """Ids that are shared by chance."""
    language(root, "de", {"1": "Wo?"}, {"1": "hier", "2": "da"}, [("1", "1", 1)])
    language(root, "en", {"1": "Who?"}, {"1": "she", "2": "he"}, [("1", "2", 1)])


def open_question(root):
    language(root, "de", {"1": "Wo?"}, {"1": "hier", "2": "da"}, [("1", "1", 1)])
    language(root, "en", {"2": "Who?"}, {"1": "she", "2": "he"}, [("2", "1", 1)])


def grades_differ(root):
    parallel(root)
    write_text(root / "en/qrels/test.tsv", HEAD + "q1\tp2\t3\nq1\tp1\t2\nq2\tp3\t1\n")


def changed(file, text):
    def make(root):
        parallel(root)
        write_text(root / file, text)

    return make


def empty(root):
    root.mkdir(exist_ok=True)


def without_passages(root):
    parallel(root)
    for code in ("de", "en", "sw"):
        write_lines(root / code / "corpus.jsonl", [{"_id": "p77", "text": "x"}])


BAD = {
    "clash": (clash, r"de/qrels/test.tsv, line 2: passage '1' has the score 1 .*, and none in .*shared_ids=false"),
    "open": (open_question, r"mine: languages share ids, and no query is judged in two of them. Set .*shared_ids"),
    "grades": (grades_differ, r"en/qrels/test.tsv, line 2: passage 'p2' has the score 3 .*, and 1 in .*tsv, line 3"),
    "query": (changed("de/qrels/test.tsv", "q1\tp1\t2\nq1\tp2\t1\nq7\tp1\t1\n"),
              r"de/qrels/test.tsv, line 3: there is no query 'q7'; add it to queries.jsonl, or take the line out"),
    "passage": (changed("de/qrels/test.tsv", "q1\tp1\t2\nq1\tp2\t1\nq1\tp7\t1\n"),
                r"line 3: no corpus.jsonl has the passage 'p7' of query 'q1'; add it, or take out the line"),
    "score": (changed("de/qrels/test.tsv", HEAD + "q1\tp1\tyes\n"),
              r"de/qrels/test.tsv, line 2: the score is 'yes'; it must be a whole number, 0 for what is not relevant"),
    "half": (changed("de/qrels/test.tsv", HEAD + "q1\tp1\t0.5\n"), r"line 2: the score is '0.5'; it must be a whole"),
    "infinite": (changed("de/qrels/test.tsv", HEAD + "q1\tp1\tinf\n"), r"line 2: the score is 'inf'; it must be a"),
    "fields": (changed("de/qrels/test.tsv", HEAD + "q1\tp1\n"),
               r"line 2: got 2 fields, expected 3; write query-id, corpus-id and score, separated by tabs"),
    "twice": (changed("de/qrels/test.tsv", HEAD + "q1\tp1\t1\nq1\tp1\t1\n"), r"line 3: query q1 judges passage p1"),
    "space": (changed("de/qrels/test.tsv", HEAD + "q 1\tp1\t1\n"), r"line 2: id is .q 1.; an id must not be"),
    "json": (changed("de/queries.jsonl", "{\n"), r"queries.jsonl, line 1: the line is not valid JSON .*write one"),
    "no text": (changed("de/queries.jsonl", '{"_id": "q1"}\n'), r"line 1: text is missing or null; it must be a text"),
    "query twice": (changed("de/queries.jsonl", '{"_id": "q1", "text": "a"}\n' * 2),
                    r"de/queries.jsonl, line 2: the query id 'q1' comes twice; ids must be unique in a language"),
    "passage twice": (changed("de/corpus.jsonl", '{"_id": "p1", "text": "a"}\n' * 2),
                      r"de/corpus.jsonl, line 2: the passage id 'p1' comes twice; ids must be unique in a language"),
    "nothing": (empty, r"holds nothing; a benchmark is either one sub-folder for each language, as in"),
    "both": (changed("fr.json", "{}"), r"holds de, en, fr.json, sw; a benchmark is either one sub-folder"),
    "name": (changed("zh-Hans/queries.jsonl", ""), r"holds de, en, sw, zh-Hans; .* a language is named as en, "),
    "unjudged": (lambda root: language(root, "de", {"q": "?"}, {"p": "x"}, []),
                 r"has no judgements; write query-id, corpus-id and score, separated by tabs to LANGUAGE/qrels"),
    "no answers": (without_passages, r"no corpus.jsonl has the passage 'p1' of query 'q1'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, case):
    make, message = BAD[case]
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        loaded(tmp_path)


def test_a_language_of_its_own_needs_judgements_and_passages(tmp_path):
    separate(tmp_path)
    language(tmp_path, "fr", {"d": "Ou?"}, {"w": "ici"}, [])
    with pytest.raises(
        DataError, match=r"evaluation.custom.mine: fr has no judgements, which each language needs where"
    ):
        loaded(tmp_path)
    language(tmp_path, "fr", {}, {}, [("d", "w", 1)])
    (tmp_path / "fr/corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"fr has no passages, .* or set evaluation.shared_ids=true"):
        loaded(tmp_path, shared_ids=False)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"evaluation.custom.mine=.*nowhere is no folder; set it to the folder of the"):
        load_benchmarks(EvaluationConfig(benchmarks=["mine"], custom={"mine": str(tmp_path / "nowhere")}))
