"""A corpus is read once by the cells that one process runs in turn, and anew when a file of it changes."""

import json
import os

from mixlingual.config.schema import DataConfig
from mixlingual.data.registry import load_corpus


def test_a_corpus_is_kept_until_its_files_or_options_change(tmp_path):
    def write(name, passage):
        item = {"id": name, "query": {"en": "Who?", "de": "Wer?"}, "passage": {"en": passage, "de": passage}}
        (tmp_path / name).write_text(json.dumps(item) + "\n")

    def answers(languages=("de", "en")):
        corpus = load_corpus(DataConfig(name="parallel", root=str(tmp_path), languages=list(languages)))
        return [item.passage for item in corpus.items]

    write("a.jsonl", "Ann")
    config = DataConfig(name="parallel", root=str(tmp_path))
    assert load_corpus(config) is load_corpus(DataConfig(name="parallel", root=str(tmp_path)))
    assert answers() == [{"de": "Ann", "en": "Ann"}]
    assert answers(["en"]) == [{"en": "Ann"}]
    write("a.jsonl", "Bob")  # as long as the one before
    os.utime(tmp_path / "a.jsonl", ns=(0, 0))
    assert answers(["en"]) == [{"en": "Bob"}]
    write("b.jsonl", "Cid")
    assert answers(["en"]) == [{"en": "Bob"}, {"en": "Cid"}]
    (tmp_path / "a.jsonl").unlink()
    assert answers(["en"]) == [{"en": "Cid"}]
