"""Writes a benchmark in BEIR's form, one sub-folder a language."""

from judged_folders import write_lines, write_text

HEAD = "query-id\tcorpus-id\tscore\n"


def write_language(root, code, queries, passages, judgements, *, head=HEAD, file="qrels/test.tsv"):
    """Queries and passages by id; judgements are (query, passage, score)."""
    folder = root / code
    if queries:
        write_lines(folder / "queries.jsonl", [{"_id": key, "text": text} for key, text in queries.items()])
    if passages:
        write_lines(folder / "corpus.jsonl", [{"_id": key, "title": "", "text": t} for key, t in passages.items()])
    if judgements:
        write_text(folder / file, head + "".join(f"{q}\t{p}\t{score}\n" for q, p, score in judgements))


def write_parallel(root, items, languages):
    """A parallel benchmark of items of the atlas: the passage of an item answers its question."""
    for code in languages:
        queries = {f"q{n}": item.query[code] for n, item in enumerate(items)}
        passages = {f"p{n}": item.passage[code] for n, item in enumerate(items)}
        write_language(root, code, queries, passages, [(f"q{n}", f"p{n}", 1) for n in range(len(items))])
