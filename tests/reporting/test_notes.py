import pytest
from sweep_fixture import result, write_done

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.reporting.notes import benchmark_notes


def notes_of(folder, *sections):
    for seed, section in enumerate(sections):
        content = result("small", 0.5, seed)
        content["benchmarks"] = {"x": section}
        write_done(folder, content)
    return benchmark_notes(read_sweep(folder), "x")


def test_notes_name_what_must_not_be_compared(tmp_path):
    section = {"note": "Not MIRACL.", "unit": "sentence_in_context", "complete": False}
    assert notes_of(tmp_path / "s", section, section) == [
        "Not MIRACL.",
        "A candidate is a sentence in context.",
        "Scored on a subset of the benchmark's languages: do not compare with published figures.",
    ]


def test_cut_texts_are_named_with_their_share(tmp_path):
    sections = ({"passages_cut": 0.012, "queries_cut": 0.0}, {"passages_cut": 0.25, "queries_cut": 0.0})
    assert notes_of(tmp_path / "s", *sections) == [
        "1.2% to 25.0% of the passages were longer than the model's limit and were cut."
    ]


@pytest.mark.parametrize("section", [{}, None, {"note": "", "unit": 3, "complete": True, "passages_cut": "many"}])
def test_without_anything_to_say_there_are_none(tmp_path, section):
    assert notes_of(tmp_path / "s", section) == []
