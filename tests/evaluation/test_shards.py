"""Encoding to shards: what lies on disk, what a killed encode repeats, and whose shards are refused."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from embedding_fixture import by_text

from mixlingual.evaluation import shards as shards_module
from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.shards import encode_corpus, open_shards
from mixlingual.records import Candidate, Corpus, DataError, MixlingualError


def corpus(size, name="made", ids=None):
    def read():
        for n in range(size):
            yield Candidate(ids[n] if ids else f"d{n}", "sw", str(n))

    return Corpus(name, "sw", read, f"print {size}")


def embed(texts):
    return np.array([[int(text), int(text) / 3, -1] for text in texts], np.float32)


def kill_at_23(texts):
    if "23" in texts:
        os.kill(os.getpid(), signal.SIGKILL)
    return embed(texts)


DIES = """
import sys
from pathlib import Path
sys.path[:0] = {folders!r}
from test_shards import by_text, corpus, encode_corpus, kill_at_23
encode_corpus(corpus(40), by_text(kill_at_23), Path(sys.argv[1]), "e", shard_passages=10)
"""


def polls_until(holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


class Counting:
    """Embeds, notes every text, and fails at one of them if told to."""

    def __init__(self, fail_at=None):
        self.seen, self.fail_at = [], fail_at

    def __call__(self, texts):
        if self.fail_at in texts:
            raise KeyboardInterrupt
        self.seen += texts
        return embed(texts)


def test_shards_hold_the_corpus_in_its_order_as_fp16(tmp_path):
    encoded = encode_corpus(corpus(25), by_text(embed), tmp_path, "e", shard_passages=10)
    assert (len(encoded), encoded.dimension) == (25, 3)
    assert sorted(path.name for path in tmp_path.glob("*[0-9].npy")) == ["00000.npy", "00001.npy", "00002.npy"]
    blocks = list(encoded.blocks(4))
    sizes = [(0, 4), (4, 4), (8, 2), (10, 4), (14, 4), (18, 2), (20, 4), (24, 1)]
    assert [(first, len(block)) for first, block in blocks] == sizes
    whole = np.concatenate([block for _, block in blocks])
    assert whole.dtype == np.float16
    np.testing.assert_array_equal(whole, embed(map(str, range(25))).astype(np.float16))
    assert encoded.ids(np.array([24, 0, 10, 9])) == ["d24", "d0", "d10", "d9"]
    assert not any(isinstance(block, np.memmap) for _, block in blocks), "pages of a map would stay in memory"


def test_an_interrupted_encode_goes_on_where_it_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(corpus(25), by_text(Counting(fail_at="12")), tmp_path, "e", shard_passages=10)
    assert not (tmp_path / "complete.json").exists()
    rest = Counting()
    encoded = encode_corpus(corpus(25), by_text(rest), tmp_path, "e", shard_passages=10)
    assert rest.seen == [str(n) for n in range(10, 25)]
    assert len(encoded) == 25
    again = Counting()
    assert len(encode_corpus(corpus(25), by_text(again), tmp_path, "e", shard_passages=10)) == 25
    assert again.seen == []


def test_a_killed_encode_goes_on_where_it_stopped(tmp_path):
    """SIGKILL in the middle of a shard leaves the shards before it, and nothing that looks like one."""

    script = DIES.format(folders=[str(folder) for folder in Path(__file__).parents[:2]])
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    rest = Counting()
    encoded = encode_corpus(corpus(40), by_text(rest), tmp_path, "e", shard_passages=10)
    assert rest.seen == [str(n) for n in range(20, 40)]
    np.testing.assert_array_equal(
        np.concatenate([block for _, block in encoded.blocks(100)]), embed(map(str, range(40))).astype(np.float16)
    )


def test_processes_share_the_shards_and_only_the_first_waits(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shards_module, "_POLL_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    sides, opened = [Counting(), Counting()], []

    def first():
        opened.append(encode_corpus(corpus(45), by_text(sides[0]), tmp_path, "e", parts=2, shard_passages=10))

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    polls_until(lambda: "waiting for 2 files" in caplog.text)
    rest = encode_corpus(corpus(45), by_text(sides[1]), tmp_path, "e", part=1, parts=2, shard_passages=10)
    assert len(rest) == 20
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert [{int(text) // 10 for text in side.seen} for side in sides] == [{0, 2, 4}, {1, 3}]
    assert len(opened[0]) == 25
    assert len(open_shards(tmp_path)) == 45
    waits = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert len(waits) == len(set(waits)) <= 2, "one message for each number of missing files"


def test_a_part_returns_when_its_own_shards_are_written(tmp_path):
    own = encode_corpus(corpus(45), by_text(embed), tmp_path, "e", part=1, parts=2, shard_passages=10)
    assert [first for first, _ in own.blocks(10)] == [10, 30]
    assert own.ids(np.array([19, 30])) == ["d19", "d30"]
    assert sorted(path.name for path in tmp_path.glob("*[0-9].npy")) == ["00001.npy", "00003.npy"]
    assert len(encode_corpus(corpus(45), by_text(embed), tmp_path, "e", parts=2, shard_passages=10)) == 25
    assert len(open_shards(tmp_path)) == 45


def test_shards_of_another_encoder_or_corpus_are_refused(tmp_path):
    encode_corpus(corpus(5), by_text(embed), tmp_path, "one encoder")
    for other, encoding in ((corpus(5), "another encoder"), (corpus(6), "one encoder")):
        with pytest.raises(MixlingualError, match=r"holds the embeddings of .*one encoder.*; give another folder"):
            encode_corpus(other, by_text(embed), tmp_path, encoding)


def test_bad_corpora_are_refused(tmp_path):
    with pytest.raises(DataError, match="made: the passage id 'x' occurs twice"):
        encode_corpus(corpus(3, ids=["x", "y", "x"]), by_text(embed), tmp_path / "a", "e")
    with pytest.raises(DataError, match="made holds no passages"):
        encode_corpus(corpus(0), by_text(embed), tmp_path / "b", "e")
    assert json.loads((tmp_path / "a" / "encoding.json").read_text())["encoding"] == "e"


def test_a_shard_that_never_comes_is_named_with_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "_POLL_SECONDS", 0.001)
    with pytest.raises(
        MixlingualError, match=r"waited 0.0001 minutes for shard 1 of process 1 \(.*00001.npy\), one of 2"
    ):
        encode_corpus(corpus(45), by_text(embed), tmp_path, "e", parts=2, wait_minutes=0.0001, shard_passages=10)


def test_an_id_that_comes_twice_in_the_whole_corpus_is_refused(tmp_path):
    """Three shards apart, and wider ids between."""
    ids = [f"d{n}" if n < 20 else f"doc {n}" for n in range(45)]
    ids[41] = "d3"
    with pytest.raises(DataError, match="made: the passage id 'd3' occurs twice"):
        encode_corpus(corpus(45, ids=ids), by_text(embed), tmp_path, "e", shard_passages=10)
    assert not (tmp_path / "complete.json").exists()


def test_a_disk_that_is_too_small_is_refused_after_the_first_shard(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    sizes = []

    def free(folder):
        sizes.append(sum(path.stat().st_size for path in Path(folder).glob("00000.*")))
        return usage._replace(free=3 * sizes[0])

    monkeypatch.setattr(shards_module.shutil, "disk_usage", free)
    counting = Counting()
    message = (
        r"made: its embeddings need ([\d,]+) more bytes in (.*), where ([\d,]+) are free; set evaluation.embeddings"
    )
    with pytest.raises(MixlingualError, match=message) as caught:
        encode_corpus(corpus(45), by_text(counting), tmp_path, "e", shard_passages=10)
    needed, folder, there = re.search(message, str(caught.value)).groups()
    assert (int(needed.replace(",", "")), int(there.replace(",", ""))) == (round(3.5 * sizes[0]), 3 * sizes[0])
    assert folder == str(tmp_path)
    assert counting.seen == [str(n) for n in range(10)]
    assert len(encode_corpus(corpus(40), by_text(embed), tmp_path / "other", "e", shard_passages=10)) == 40, "3 fit"


def test_cut_passages_are_counted_over_runs_and_processes(tmp_path):
    def cut(passages):
        return Embedded(embed([passage.text for passage in passages]), sum(int(p.text) % 4 == 0 for p in passages))

    encode_corpus(corpus(45), cut, tmp_path, "e", part=1, parts=2, shard_passages=10)
    encode_corpus(corpus(45), cut, tmp_path, "e", parts=2, shard_passages=10)
    assert open_shards(tmp_path).cut() == 12
    encode_corpus(corpus(5), lambda p: Embedded(cut(p).embedding_ND, None), tmp_path / "u", "e")
    assert open_shards(tmp_path / "u").cut() is None
