"""A conversion gives the items that a slow reader gives, in any number of parts and processes, and outlives kills."""

import json
import os
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
from forks import fork
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixlingual import files
from mixlingual.config.schema import DataConfig, PairsConfig
from mixlingual.data import convert
from mixlingual.data.items import Items, Members, Patterns, record_batches
from mixlingual.data.registry import load_corpus
from mixlingual.files import cache_dir
from mixlingual.records import DataError, ParallelItem


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))


def write(root, rows, name="x.jsonl"):
    root.mkdir(exist_ok=True)
    (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def plain(number):
    return [{"query": f"q{i}", "passage": f"p{i}", "language": ("en", "de")[i % 2]} for i in range(number)]


def keyed(number):
    return [{"id": i // 3, "query": f"q{i // 3}", "passage": f"p{i // 3}", "negative": f"n{i}"} for i in range(number)]


def load(root, **options):
    return load_corpus(DataConfig(name="pairs", root=str(root), pairs=PairsConfig(language=None), **options))


def parts_made(monkeypatch):
    """Returns a list that gets the name of each part that is converted from now on."""
    made = []
    once = convert._once

    def noted(work, name, make):
        return once(work, name, lambda: made.append(name) or make())

    monkeypatch.setattr(convert, "_once", noted)
    return made


def test_a_start_that_was_killed_when_all_parts_were_done_is_built_again(tmp_path, monkeypatch):
    root = write(tmp_path / "data", plain(20))

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert, "shutil", SimpleNamespace(**{**vars(shutil), "rmtree": killed}))
        with pytest.raises(KeyboardInterrupt):
            load(root)
    assert len(load(root).items) == 20


def test_a_later_negative_of_one_language_replaces_none_of_another():
    rows = [
        ("1", ParallelItem("i", "s", {"en": "q"}, {"en": "p"}, ({"de": "a"}, {"de": "b", "en": "c"}, {"en": "d"}))),
        ("2", ParallelItem("i", "s", {"en": "q"}, {"en": "p"}, ())),
    ]
    assert convert._union(rows).negatives == ({"de": "a"}, {"de": "b", "en": "c"}, {"en": "d"})


texts = st.dictionaries(st.sampled_from(["aa", "bb", "cc"]), st.text(max_size=3).filter(str.strip), min_size=1)
items = st.builds(ParallelItem, st.text(max_size=3), st.sampled_from("st"), texts, texts, st.lists(texts).map(tuple))


@given(st.lists(items, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_items_come_back_by_number_slice_and_in_turn(tmp_path, monkeypatch, made):
    monkeypatch.setattr("mixlingual.data.items.BATCH", 4)
    folder = tmp_path / "items"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    halves = [made[: len(made) // 2], made[len(made) // 2 :]]
    for number, half in enumerate(halves):
        with convert.pyarrow.ipc.new_file(str(folder / Items.file_name(number)), convert.SCHEMA) as file:
            for batch in record_batches(half):
                file.write_batch(batch)
    if not made:
        return
    patterns = [Patterns.of(half) for half in halves]
    Items.save(folder, [(each.names, each.code_I) for each in patterns], {"more": 1})
    held = Items(folder)
    assert list(held) == made
    assert [held[n] for n in range(-len(made), len(made))] == made * 2
    for cut in (slice(1, None), slice(None, None, 3), slice(2, 9, 2), slice(-3, None)):
        assert list(held[cut]) == made[cut]
    with pytest.raises(IndexError):
        held[len(made)]
    assert [held.patterns.names[code] for code in held.patterns.code_I] == [
        (i.source, tuple(sorted(i.query)), tuple(sorted(i.passage))) for i in made
    ]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.sets(st.integers(0, 4)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_members_are_found_in_blocks(monkeypatch, codes, wanted):
    monkeypatch.setattr("mixlingual.data.items.BLOCK", 8)
    names = tuple((f"{n}", (), ()) for n in range(5))
    members = Members(Patterns.counted(names, convert.np.array(codes)), sorted(wanted))
    expected = [n for n, code in enumerate(codes) if code in wanted]
    assert len(members) == len(expected)
    assert members.at(convert.np.arange(len(expected))).tolist() == expected


@pytest.mark.parametrize("rows", [plain(60), keyed(60)])
def test_parts_buckets_and_processes_change_no_item(tmp_path, monkeypatch, rows):
    root = write(write(tmp_path / "data", rows[:33], "a.en.jsonl"), rows[33:], "b.en.jsonl")
    expected = {item.id: item for item in load(root).items}
    monkeypatch.setattr("mixlingual.data.sources.pair_corpus.PART_ROWS", 5)
    monkeypatch.setattr(convert, "_BUCKET_BYTES", 500)
    monkeypatch.setattr(convert, "_BYTES_A_PROCESS", 1)
    found = []
    for processes in (1, 2):
        monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / f"{processes}"))
        found.append(list(load(root, processes=processes).items))
    assert found[0] == found[1]
    assert {item.id: item for item in found[0]} == expected
    assert len(expected) == (60 if rows == plain(60) else 20)
    assert not list((cache_dir() / "items").glob("*.parts")), "nothing is left but the items"


def test_the_second_start_converts_nothing_until_the_content_changes(tmp_path, monkeypatch):
    made = parts_made(monkeypatch)
    root = write(tmp_path / "data", plain(9))
    first = load(root)
    assert len(made) == 1
    os.utime(root / "x.jsonl", (0, 0))
    assert load(root).fingerprint == first.fingerprint
    assert len(made) == 1, "a small file is known by its content"
    write(root, [*plain(8), {"query": "q8", "passage": "px", "language": "en"}])
    assert load(root).fingerprint != first.fingerprint
    assert len(made) == 2


def test_a_large_file_is_known_by_size_time_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_STAMPED_WHOLE", 10)
    monkeypatch.setattr(files, "_ENDS", 4)
    path = tmp_path / "x"
    stamps = set()
    for content, moment in (
        (b"a" * 20, 1),
        (b"a" * 21, 1),
        (b"b" + b"a" * 19, 1),
        (b"a" * 19 + b"b", 1),
        (b"a" * 20, 2),
    ):
        path.write_bytes(content)
        os.utime(path, (moment, moment))
        stamps.add(files.stamp(path))
    assert len(stamps) == 5


@pytest.mark.parametrize("rows", [plain, keyed])
def test_after_a_bad_line_was_mended_only_its_part_is_converted(tmp_path, monkeypatch, rows):
    monkeypatch.setattr("mixlingual.data.sources.pair_corpus.PART_ROWS", 10)
    good = rows(60)
    bad = [*good[:45], good[45] | {"passage": ""}, *good[46:]]
    root = write(tmp_path / "data", bad, "x.en.jsonl")
    made = parts_made(monkeypatch)
    with pytest.raises(DataError, match=r"x.en.jsonl, line 46: passage is"):
        load(root)
    assert len(made) == 5, "four parts, and the bad one"
    write(root, good, "x.en.jsonl")
    made.clear()
    mended = load(root)
    assert len(made) == (2 if rows is plain else 3), "two parts, and the bucket in which rows are joined"
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "fresh"))
    assert list(load(root).items) == list(mended.items)
    assert load(root).fingerprint == mended.fingerprint


@pytest.mark.parametrize("rows", [plain(3000), keyed(3000)])
def test_a_killed_conversion_goes_on(tmp_path, monkeypatch, rows):
    monkeypatch.setattr("mixlingual.data.sources.pair_corpus.PART_ROWS", 100)
    monkeypatch.setattr(convert, "_BUCKET_BYTES", 20_000)
    root = write(tmp_path / "data", rows, "x.en.jsonl")
    once = convert._once

    def slowly(work, name, make):
        time.sleep(0.02)
        return once(work, name, make)

    monkeypatch.setattr(convert, "_once", slowly)
    made = parts_made(monkeypatch)
    for wait in (3, 12, 25):
        child = fork(lambda: load(root, processes=1), tmp_path / "out")
        until = time.monotonic() + 100
        while time.monotonic() < until and len(list(cache_dir().glob("items/.*.parts/[!.]*.json"))) < wait:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    left = len(list(cache_dir().glob("items/.*.parts/[!.]*.json")))
    assert left >= 25
    resumed = load(root, processes=1)
    total = 30 + (0 if rows[0].get("id") is None else -(-(root / "x.en.jsonl").stat().st_size // 20_000))
    assert len(made) == total - left
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "fresh"))
    fresh = load(root, processes=1)
    assert (list(fresh.items), fresh.fingerprint) == (list(resumed.items), resumed.fingerprint)


def test_a_damaged_corpus_is_converted_anew(tmp_path, caplog):
    root = write(tmp_path / "data", plain(9))
    whole = list(load(root).items)
    (folder,) = (path for path in (cache_dir() / "items").iterdir() if path.is_dir())
    for path in sorted(folder.iterdir()):
        whole_file = path.read_bytes()
        for damaged in (whole_file[:-1], bytes([whole_file[0] ^ 4]) + whole_file[1:]):
            path.write_bytes(damaged)
            assert list(load(root).items) == whole
            assert "is damaged" in caplog.text
            caplog.clear()
    assert list(load(root).items) == whole
    assert not caplog.text


def test_a_disk_that_is_too_small_is_refused_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr("mixlingual.data.sources.pair_corpus.PART_ROWS", 10)
    root = write(tmp_path / "data", plain(100))
    made = parts_made(monkeypatch)
    free = SimpleNamespace(free=15_000)
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: free)
    with pytest.raises(DataError, match=r"data: its conversion takes about 0.0 GB more in .* set MIXLINGUAL_CACHE"):
        load(root)
    assert len(made) == 1
    free.free = 10**9
    assert len(load(root).items) == 100


def test_ids_that_come_twice_are_found_over_parts_and_ranges(tmp_path, monkeypatch):
    def rows(*ids):
        return [{"id": i, "query": {"en": "q"}, "passage": {"en": "p"}} for i in ids]

    monkeypatch.setattr(convert, "_ID_RANGE", 3)
    monkeypatch.setattr("mixlingual.data.sources.parallel.PART_ROWS", 4)
    root = write(write(tmp_path / "data", rows(*map(str, range(9))), "a.jsonl"), rows("x", "y"), "b.jsonl")
    config = DataConfig(name="parallel", root=str(root))
    assert len(load_corpus(config).items) == 11
    write(root, rows("x", "7"), "b.jsonl")
    with pytest.raises(DataError, match=r"b.jsonl, line 2: the id '7' is taken by .*a.jsonl, line 8; ids are unique"):
        load_corpus(config)
