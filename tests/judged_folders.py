"""Small judged benchmarks in exactly the files that the real ones are published in."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def miracl(root):
    """Swahili and Yoruba; query 1 of Swahili has the id of a passage, and a passage id is in both languages."""
    topics = root / "miracl/miracl-v1.0-sw"
    write_text(topics / "topics/topics.miracl-v1.0-sw-dev.tsv", "1\tswali moja\n2\tswali mbili\n")
    write_text(
        topics / "qrels/qrels.miracl-v1.0-sw-dev.tsv", "1\tQ0\t1\t1\n1\tQ0\t9#0\t0\n2\tQ0\t10#1\t1\n2\tQ0\t1\t1\n"
    )
    passages = root / "miracl-corpus/miracl-corpus-v1.0-sw"
    write_lines(passages / "docs-0.jsonl.gz", [{"docid": "1", "title": "A", "text": "moja"}])
    write_lines(passages / "docs-10.jsonl.gz", [{"docid": "10#1", "title": "C", "text": "mbili"}])
    write_lines(passages / "docs-9.jsonl.gz", [{"docid": "9#0", "title": "", "text": "tatu"}])
    topics = root / "miracl/miracl-v1.0-yo"
    write_text(topics / "topics/topics.miracl-v1.0-yo-dev.tsv", "1\tibeere\n")
    write_text(topics / "qrels/qrels.miracl-v1.0-yo-dev.tsv", "1 Q0 9#0 1\n3 Q0 9#0 1\n")
    passages = root / "miracl-corpus/miracl-corpus-v1.0-yo"
    write_lines(passages / "docs-0.jsonl.gz", [{"docid": "9#0", "title": "D", "text": "idahun"}])


def miracl_hard_negatives(root):
    folder = root / "MIRACLRetrievalHardNegatives"
    tables = {
        "sw-corpus": {"_id": ["1", "9#0"], "title": ["A", ""], "text": ["moja", "tatu"]},
        "sw-queries": {"_id": ["1"], "text": ["swali"]},
        "sw-qrels": {"query-id": ["1", "1"], "corpus-id": ["1", "9#0"], "score": [1, 0]},
    }
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / name / "dev-00000-of-00001.parquet")


def mr_tydi(root):
    topics = root / "mr-tydi/mrtydi-v1.1-swahili/ir-format-data"
    write_text(topics / "topics.test.txt", "0\tswali\n1\tswali jingine\n")
    write_text(topics / "qrels.test.txt", "0 Q0 5#1 1\n1 Q0 5#2 1\n")
    rows = [{"docid": f"5#{n}", "title": "T", "text": f"aya {n}"} for n in range(4)]
    write_lines(root / "mr-tydi-corpus/mrtydi-v1.1-swahili/corpus.jsonl.gz", rows)


def belebele(root):
    """Two passages, the first with two questions; English and Swahili in another order, German lacks one question."""

    def row(link, number, passage, question):
        other = {"mc_answer1": "a", "mc_answer2": "b", "mc_answer3": "c", "mc_answer4": "d", "correct_answer_num": "1"}
        return {"link": link, "question_number": number, "flores_passage": passage, "question": question, **other}

    english = [row("l/1", 1, "P one", "Q a"), row("l/1", 2, "P one", "Q b"), row("l/2", 1, "P two", "Q a")]
    swahili = [row("l/2", 1, "S two", "W c"), row("l/1", 1, "S one", "W a"), row("l/1", 2, "S one", "W b")]
    german = [row("l/1", 2, "D one", "F b"), row("l/2", 1, "D two", "F c")]
    for code, rows in (("eng_Latn", english), ("swh_Latn", swahili), ("deu_Latn", german)):
        write_lines(root / f"belebele/data/{code}.jsonl", rows)


def mkqa(root):
    passages = [
        {"_id": "doc0", "title": "Zürich", "text": "A city of Switzerland.", "metadata": {}},
        {"_id": "doc1", "title": "", "text": "It has U.S. ties, since 1848.", "metadata": {}},
    ]
    write_lines(root / "nq/corpus.jsonl.gz", passages)
    write_lines(
        root / "mkqa/de.jsonl",
        [{"id": 7, "question": "wo?", "answers": ["zürich", "x"]}, {"id": 8, "question": "wann?", "answers": ["184"]}],
    )
    write_lines(root / "mkqa/en.jsonl", [{"id": 7, "question": "where?", "answers": ["ZÜRICH"]}])
