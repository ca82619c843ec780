from sweep_fixture import result, without_results, write_done, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.answer import answer, headline
from mixlingual.analysis.tables.grid import grid_axes, results_table


def answer_of(folder, benchmark="mlqa_r"):
    sweep = read_sweep(folder)
    return answer(results_table(sweep), grid_axes(sweep), benchmark)


def with_map(content, value):
    content["benchmarks"]["mlqa_r"]["multi"]["map"] = value
    return content


def test_one_ratio_for_all_sizes_whose_seeds_overlap(tmp_path):
    """Means differ by 0.01 between ratios 0.25 and 0.5, seeds by 0.02; large has one seed."""
    found = answer_of(write_sweep(tmp_path))
    assert found.sentence == (
        "On mlqa_r, multilingual mAP is best at α = 0.5 for all 3 sizes, but its seeds overlap with those of another "
        "ratio at 2 of 3 sizes."
    )
    assert "no test has been made" in found.nature
    assert found.nature.startswith("Read off means over seeds")


def test_seeds_that_are_all_better_are_said_to_be(tmp_path):
    for seed in (0, 1):
        for ratio in (0.0, 1.0):
            write_done(tmp_path / "s", with_map(result("small", ratio, seed), 0.3 + 0.2 * ratio + 0.01 * seed))
            write_done(tmp_path / "s", with_map(result("base", ratio, seed), 0.5 - 0.2 * ratio + 0.01 * seed))
    assert answer_of(tmp_path / "s").sentence == (
        "On mlqa_r, multilingual mAP is best at a ratio that differs between sizes (α = 1 for small, α = 0 for base); "
        "its seeds are all better than those of the other ratios."
    )


def test_single_runs_say_nothing_of_noise(tmp_path):
    for ratio in (0.0, 0.5):
        write_done(tmp_path / "s", result("small", ratio, 0))
    found = answer_of(tmp_path / "s")
    assert found.sentence == (
        "On mlqa_r, multilingual mAP is best at α = 0.5 for small, the only size with several ratios; one seed each, "
        "so that nothing is known of the noise."
    )
    assert found.nature.startswith("Read off single runs")


def test_without_two_ratios_there_is_no_answer(tmp_path):
    write_done(tmp_path / "s", result("small", 0.5, 0))
    write_done(tmp_path / "s", result("small", 1.0, 0, batching="x_x") | {"run_name": "pure"})
    assert answer_of(tmp_path / "s").sentence == "On mlqa_r there is no answer yet."
    assert answer_of(without_results(write_sweep(tmp_path))).sentence == "On mlqa_r there is no answer yet."


def test_the_headline_is_the_widest_setting_of_the_first_measure(tmp_path):
    content = result("small", 0.5, 0)
    content["benchmarks"] = {"miracl": {"mono": {"ndcg@10": 0.4, "r@100": 0.9}}, "mlqa_r": {"bias": {"a": {"b": 1}}}}
    write_done(tmp_path / "s", content)
    results = results_table(read_sweep(tmp_path / "s"))
    assert headline(results, "miracl") == ("mono", "ndcg@10")
    assert headline(results, "mlqa_r") is None
