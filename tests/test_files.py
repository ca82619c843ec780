"""Cached folders appear whole, are built once, and are rebuilt where they are damaged."""

import errno
import multiprocessing
import os
import signal
import time

import pytest

from mixlingual import files
from mixlingual.files import built_once, clear_leftovers, read_object, written_whole

FORK = multiprocessing.get_context("fork")


def read(folder):
    content = (folder / "content").read_text()
    if content != "whole":
        raise ValueError(f"it holds {content!r}")
    return content


def write(folder):
    (folder / "content").write_text("whole")


def names(folder):
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_a_full_disk_is_named_with_the_file_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def run():
        with written_whole(path) as temporary:
            temporary.write_text("ne")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match=r"cannot write .*a\.json: No space left on device; make room there, then give"):
        run()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_what_a_killed_process_began_to_write_is_cleared_away_and_no_others(tmp_path):
    def begin(path):
        written_whole(path).__enter__().write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    for name in ("a.svg", "sub/noext"):
        killed = FORK.Process(target=begin, args=(tmp_path / name,))
        killed.start()
        killed.join()
    (tmp_path / ".a.othermachine.1.tmp.svg").write_text("half")
    with written_whole(tmp_path / "b.svg") as own:
        own.write_text("half")
        assert len(list(tmp_path.rglob(".*.tmp*"))) == 4
        clear_leftovers(tmp_path)
        assert {path.name for path in tmp_path.rglob(".*.tmp*")} == {".a.othermachine.1.tmp.svg", own.name}


def test_the_second_call_only_reads(tmp_path):
    assert built_once(tmp_path / "a" / "b", write, read) == "whole"
    assert built_once(tmp_path / "a" / "b", None, read) == "whole"
    assert names(tmp_path / "a") == {"b"}


@pytest.mark.parametrize("content", [None, "", "whol", "other"])
def test_a_damaged_folder_is_built_anew_with_a_warning(tmp_path, caplog, content):
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "extra").touch()
    if content is not None:
        (folder / "content").write_text(content)
    assert built_once(folder, write, read) == "whole"
    assert names(folder) == {"content"}
    assert f"{folder} is damaged" in caplog.text


def test_a_failed_write_leaves_nothing_and_says_what_to_do(tmp_path):
    def fails(folder):
        (folder / "content").write_text("wh")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"cannot write .*No space left on device; make room .*MIXLINGUAL_CACHE"):
        built_once(tmp_path / "built", fails, read)
    assert names(tmp_path) == set()
    assert built_once(tmp_path / "built", write, read) == "whole"


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path, monkeypatch):
    begun, go_on = FORK.Event(), FORK.Event()

    def slow(folder):
        (folder / "content").write_text("wh")
        begun.set()
        assert go_on.wait(30)
        write(folder)

    builder = FORK.Process(target=built_once, args=(tmp_path / "built", slow, read))
    builder.start()
    assert begun.wait(30)
    notices = []
    monkeypatch.setattr(files.log, "info", lambda notice, *_: notices.append(notice) or go_on.set())
    assert built_once(tmp_path / "built", None, read) == "whole"
    assert notices == ["waiting for another process that builds %s"]
    builder.join(30)
    assert builder.exitcode == 0


def test_what_a_killed_builder_began_is_cleared_away(tmp_path):
    def hangs(folder):
        (folder / "half").write_text("wh")
        (tmp_path / "begun").touch()
        time.sleep(60)

    builder = FORK.Process(target=built_once, args=(tmp_path / "built", hangs, read))
    builder.start()
    wait_for(tmp_path / "begun")
    os.kill(builder.pid, signal.SIGKILL)
    builder.join(30)
    assert builder.exitcode == -signal.SIGKILL
    assert names(tmp_path) == {"begun", ".built.tmp"}
    assert built_once(tmp_path / "built", write, read) == "whole"
    assert names(tmp_path) == {"begun", "built"}
    assert names(tmp_path / "built") == {"content"}


def test_hosts_whose_processes_share_a_number_write_to_files_of_their_own(tmp_path, monkeypatch):
    temporary = []
    for host in ("one", "two"):
        monkeypatch.setattr(files.socket, "gethostname", lambda host=host: host)
        with written_whole(tmp_path / "a.json") as path:
            temporary.append(path)
            path.touch()
    assert len(set(temporary)) == 2
    assert {path.suffix for path in temporary} == {".json"}


@pytest.mark.parametrize("content", [None, "", '{"a": ', "[1]", "3", "[" * 100_000])
def test_what_is_no_object_reads_as_an_empty_one(tmp_path, content):
    path = tmp_path / "some.json"
    if content is not None:
        path.write_text(content)
    assert read_object(path) == {}
    path.write_text('{"a": 1}')
    assert read_object(path) == {"a": 1}


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write .*file/built: .*; make room there, or set MIXLINGUAL_CACHE to"):
        built_once(tmp_path / "file" / "built", write, read)
