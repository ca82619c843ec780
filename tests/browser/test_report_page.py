"""The report page shows its figures in a real browser, runs nothing else and asks nothing of a network."""

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pandas as pd
import pytest
from scored_sweep import write_scored_sweep, write_variant
from sweep_fixture import result, write_answers, write_curve, write_done, write_json, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.measures.registry import METRICS
from mixlingual.reporting import effect_pictures, figures, write

EVIL = "<script>alert('x')</script>\"&amp; ü <img src=x onerror=alert(1)>"

CONTRAST = """() => {
  const channel = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *:not(svg):not(svg *):not(script)")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.getClientRects().length);
  const ratio = (e) => {
    const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  return texts.map((e) => [ratio(e), e.textContent.slice(0, 40)]);
}"""


def has_failed(page):
    """Lists what goes wrong or is asked for while the page is open, as it happens."""
    found = []
    page.on("console", lambda message: found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (found.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: request.is_navigation_request() or found.append(request.url))
    return found


def write_page(folder, output):
    """Writes the report without its pictures, which take most of the time and are not on the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "pictures", lambda *_: [])
        patch.setattr(effect_pictures, "effect_pictures", lambda *_, **__: [])
        return write.write_report(read_sweep(folder), output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("multirun"))
    write_curve(folder / "small_r0_s0")
    write_curve(folder / "small_r0.5_s1")
    write_answers(folder / "small_r0_s0", "mlqa_r", {("a", "ar"): ["ar", "de", "en"], ("b", "ar"): ["ar", "de"]})
    write_page(folder, folder / "report")
    return folder


@pytest.fixture
def opened(browser, folder):
    """Opens the page at 1400 pixels, and lists what has failed in it."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    failed = has_failed(page)
    open_page(page, folder / "report" / "index.html")
    yield page, failed
    page.close()


def until(page, condition):
    """Waits for a condition; Playwright's own waiting needs what the policy of the page forbids."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def open_page(page, file):
    """Opens a page with all its folds."""
    page.goto(file.as_uri())
    page.wait_for_selector("#effect svg")
    page.locator("details.fold").evaluate_all("all => all.forEach((e) => { e.open = true; })")
    until(page, "document.querySelector('#heatmap svg').clientWidth > 250")


def results_of(folder):
    return [json.loads(path.read_text()) for path in folder.glob("*/result.json") if "large_r1_s1" not in str(path)]


def expected_cells(folder, benchmark, setting, metric, language="all"):
    """Returns (size, ratio) -> text, from the result files alone."""
    decimals = METRICS[metric].decimals
    values = defaultdict(list)
    for found in results_of(folder):
        section = found["benchmarks"][benchmark][setting]
        value = section[metric] if language == "all" else section["languages"][language][metric]
        values[found["config"]["model"]["name"], found["config"]["batching"]["monolingual_ratio"]].append(value)
    return {
        place: f"{mean(v):.{decimals}f}" + (f" [{min(v):.{decimals}f}, {max(v):.{decimals}f}]" if len(v) > 1 else "")
        for place, v in values.items()
    }


def table_of(page, within):
    """Returns (row, column) -> text of a table."""
    rows = page.locator(f"{within} tr").evaluate_all("rows => rows.map(r => [...r.cells].map(c => c.textContent))")
    return {(row[0], column): text for row in rows[1:] for column, text in zip(rows[0][1:], row[1:], strict=True)}


def marks(page, chart):
    return page.locator(f"{chart} svg g[aria-label=text] text").all_text_contents()


def open_table(page, figure):
    page.locator(f"{figure} summary").click()
    page.wait_for_selector(f"{figure} table")


def test_it_loads_from_disk_without_a_message_or_a_request(opened):
    page, failed = opened
    assert page.title() == "demo - Mixlingual"
    for chart in ("#effect-charts", "#heatmap", "#lines", "#tradeoff", "#matrices", "#bias-charts", "#curves"):
        assert page.locator(f"{chart} svg").count() > 0, chart
    assert failed == []


def test_a_baseline_is_a_dotted_level_and_in_words(browser, tmp_path):
    """One in the range of the lines, one far below them, which would flatten them."""
    folder = write_sweep(tmp_path)
    for model, level in (("small", 0.45), ("base", 0.001)):
        content = result(model, 0.5, 0)
        content["training"]["steps"] = 0
        content["run_name"] = f"{model}_zero_shot"
        content["benchmarks"]["mlqa_r"]["multi"]["map"] = level
        write_done(folder, content)
    write_page(folder, folder / "report")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    open_page(page, folder / "report" / "index.html")
    page.select_option("#setting", "multi")
    assert page.locator("#lines svg g[aria-label=rule] line").count() == 1
    note = page.locator("#lines .note").text_content()
    assert "before any training (small (21M) 0.4500; base (85M) 0.0010)" in note
    page.close()


def test_the_policy_of_the_page_stops_other_scripts_and_requests(opened):
    page, failed = opened
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      const image = new Image();
      image.src = "http://127.0.0.1:9/x.png";
      document.body.append(script, image);
    }""")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    blocked = [message for message in failed if message.startswith("console") and "Content Security Policy" in message]
    assert len(blocked) == 2


@pytest.mark.parametrize(
    ("benchmark", "setting", "metric", "language"),
    [
        ("mlqa_r", "multi", "map", "all"),
        ("mlqa_r", "mono", "r@10", "ar"),
        ("xquad_r", "cross", "map", "all"),
        ("xquad_r", "multi", "rank_distance", "zh"),
    ],
)
def test_values_are_those_of_the_result_files(opened, folder, benchmark, setting, metric, language):
    page, failed = opened
    for control, value in (("benchmark", benchmark), ("setting", setting), ("metric", metric), ("language", language)):
        page.select_option(f"#{control}", value)
    open_table(page, "#heatmap")
    shown = table_of(page, "#heatmap")
    expected = expected_cells(folder, benchmark, setting, metric, language)
    labels = {"small": "small (21M)", "base": "base (85M)", "large": "large (302M)"}
    assert len(expected) == 12
    assert shown == {(labels[size], f"{ratio:g}"): text for (size, ratio), text in expected.items()}
    decimals = min(METRICS[metric].decimals, 3)
    written = [f"{float(text.split()[0]):.{decimals}f}" for text in shown.values()]
    assert sorted(marks(page, "#heatmap")) == sorted(written)
    assert METRICS[metric].label in page.locator("#heatmap figcaption").text_content()
    assert failed == []


def test_the_best_of_each_size_is_framed_also_where_lower_is_better(opened):
    page, _ = opened
    frames = page.locator("#heatmap svg g[stroke='#d55e00'] rect")
    columns = "rects => rects.map(r => Math.round(r.getBoundingClientRect().x))"
    at_half = set(frames.evaluate_all(columns))
    assert frames.count() == 2, "large has fewer seeds than most"
    page.select_option("#metric", "rank_distance")
    at_zero = set(frames.evaluate_all(columns))
    assert (len(at_half), len(at_zero)) == (1, 1)
    assert max(at_zero) < min(at_half)


def test_hovering_shows_seeds_and_spread(opened):
    page, _ = opened
    cell = page.locator("#heatmap svg g[aria-label=text] text", has_text="0.310").first
    cell.hover()
    tip = page.locator("#heatmap svg g[aria-label=tip]")
    until(page, "document.querySelector('#heatmap g[aria-label=tip]').textContent.includes('seed 1')")
    words = tip.text_content()
    for part in (
        "small (21M), α = 0.5",
        "mAP: 0.3100 (n = 2)",
        "seed 0: 0.3000 (realised ratio 0.25)",
        "seed 1: 0.3200",
        "spread of seeds: 0.0200",
    ):
        assert part in words


def test_matrices_follow_their_switches(opened):
    page, failed = opened
    page.select_option("#matrix-model", "base")
    page.select_option("#matrix-metric", "lift@10")
    figures = page.locator("#matrices figure")
    assert figures.locator("h4").all_text_contents() == [f"base (85M), α = {r}" for r in ("0", "0.25", "0.5", "1")]
    open_table(page, "#matrices figure:nth-child(4)")
    shown = table_of(page, "#matrices figure:nth-child(4)")
    assert shown["de", "de"] == "1.50"  # ratio 1, mean of seeds 0 and 1
    assert shown["de", "ar"] == "-1.00"
    page.select_option("#matrix-values", "difference")
    assert figures.count() == 3
    open_table(page, "#matrices figure:nth-child(3)")
    assert table_of(page, "#matrices figure:nth-child(3)")["de", "de"] == "1.00"
    above = page.locator("#matrices figure:nth-child(3) svg g[aria-label=cell] rect").first.evaluate(
        "(cell) => getComputedStyle(cell).fill.match(/\\d+/g).map(Number)"
    )
    assert above[0] > above[2], "more red than blue"
    assert "(purple if below 0) to 1.000 (orange if above 0)" in page.locator("#matrix-note").text_content()
    assert failed == []


def test_bias_shows_every_measure_there_is_with_its_level(opened):
    page, _ = opened
    names = page.locator("#bias-charts h4").all_text_contents()
    assert names == [METRICS[name].label for name in ("rank_distance", "lift@10.diagonal_preference")]
    others = page.locator("#bias-more h4").all_text_contents()
    assert others == [METRICS[n].label for n in ("rank_distance_normalized", "rank_distance_median", "concordance.w")]
    assert page.locator("details.fold#bias-more").count() == 1, "they are one fold away"
    until(page, "document.querySelector('#bias-more svg').clientWidth > 150")
    assert "Without bias: k - 1 for k languages with an answer." in page.locator("#bias-charts").text_content()
    page.locator("#bias > details:not(.fold) > summary").click()
    captions = page.locator("#bias-table caption").all_text_contents()
    assert "without bias: 0.01)" in captions[-1]
    assert "without bias: 1.5)" in captions[0]


def test_training_curves_are_drawn_for_the_runs_that_have_them(opened):
    page, _ = opened
    assert page.locator("#curves svg g[aria-label=line] path").count() == 2
    open_table(page, "#curves")
    rows = page.locator("#curves tbody tr").all_text_contents()
    assert rows == ["small_r0_s012.9901002.000", "small_r0.5_s112.9901002.000"]
    assert page.locator("#curve-model option").all_text_contents() == ["small (21M)"], "no other size has curves"


def test_the_keyboard_reaches_every_control(opened):
    page, _ = opened
    wanted = page.evaluate(
        "[...document.querySelectorAll('select, summary, a[href]')].filter((e) => e.checkVisibility()).length"
    )
    reached = set()
    for _ in range(wanted + 60):
        page.keyboard.press("Tab")
        active = page.evaluate("""() => {
          const all = [...document.querySelectorAll('select, summary, a[href]')];
          return all.indexOf(document.activeElement);
        }""")
        reached.add(active)
    assert len(reached - {-1}) == wanted
    page.locator("#setting").focus()
    before = page.locator("#heatmap figcaption").text_content()
    page.keyboard.press("ArrowUp")
    assert page.locator("#heatmap figcaption").text_content() != before


def test_all_text_stands_out_from_what_is_behind_it(opened):
    page, _ = opened
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 300
    assert [found for found in ratios if found[0] < 4.5] == []


def test_charts_have_names_for_screen_readers(opened):
    page, _ = opened
    names = page.locator("svg:not([aria-hidden])").evaluate_all("all => all.map((e) => e.getAttribute('aria-label'))")
    assert len(names) == 3 * 4 + 4 + 4 + 5
    assert all(names)


def test_printing_shows_charts_and_hides_controls(opened):
    page, _ = opened
    page.emulate_media(media="print")
    assert page.locator("#heatmap svg").is_visible()
    assert page.locator("#effect svg").first.is_visible()
    assert not any(control.is_visible() for control in page.locator("select").all())
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")


@pytest.mark.parametrize("width", [1400, 400])
def test_nothing_is_wider_than_the_window(browser, folder, tmp_path, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((folder / "report" / "index.html").as_uri())
    page.wait_for_selector("#effect svg")
    screenshots = Path(os.environ.get("MIXLINGUAL_SCREENSHOTS") or tmp_path)
    page.screenshot(path=screenshots / f"report_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("details").evaluate_all("all => all.forEach((e) => { e.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_labels_of_many_languages_are_whole(browser, tmp_path):
    codes = [f"{letter}w" for letter in "abcdefghijklmnopqrst"]
    content = result("small", 0.5, 0, languages={"x": codes})
    report = write_page(write_done(tmp_path / "s", content).parent, tmp_path / "out")
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(report.page.as_uri())
    until(page, "document.querySelector('#matrices svg').clientWidth > 250")
    assert page.locator("#matrices svg text", has_text="tw").count() == 2
    outside = page.locator("#matrices svg text").evaluate_all("""all => all.filter((text) => {
      const [label, chart] = [text, text.closest("svg")].map((e) => e.getBoundingClientRect());
      return label.left < chart.left || label.top < chart.top || label.right > chart.right + 1;
    }).map((text) => text.textContent)""")
    assert outside == []
    page.close()


@pytest.mark.parametrize("known", [[], ["mlqa_r", "xquad_r"]], ids=["alone", "beside others"])
def test_a_benchmark_without_a_known_measure_is_named_and_left_out(browser, tmp_path, known):
    content = result("small", 0.5, 0)
    novel = {"languages": ["de"], "multi": {"novel": 0.5, "languages": {"de": {"novel": 0.5}}}}
    content["benchmarks"] = {name: content["benchmarks"][name] for name in known} | {"new": novel}
    report = write_page(write_done(tmp_path / "s", content).parent, tmp_path / "out")
    page = browser.new_page()
    failed = has_failed(page)
    page.goto(report.page.as_uri())
    page.wait_for_selector("#effect svg" if known else "#runs")
    assert failed == []
    assert "No chart or table shows new: its results have no measure" in page.locator("#question").text_content()
    assert page.locator("#benchmark option").all_text_contents() == known
    assert "novel" in (tmp_path / "out" / "results.csv").read_text()
    page.close()


def test_names_are_shown_as_text(browser, tmp_path):
    folder = tmp_path / EVIL.replace("/", "")
    content = result(EVIL, 0.5, 0, batching=EVIL, languages={EVIL: ["de", EVIL]}) | {"run_name": "it's 'a' ü"}
    content["commit"] = content["versions"]["python"] = EVIL
    write_curve(write_done(folder, content))
    write_json(folder / "b" / "status.json", {"state": "failed", "reason": EVIL, "traceback": EVIL, "job": EVIL})
    report = write_page(folder, tmp_path / "out")
    page = browser.new_page()
    failed = has_failed(page)
    page.goto(report.page.as_uri())
    page.wait_for_selector("#runs")
    until(page, "!!document.querySelector('#heatmap svg')")
    assert not page.locator("#effect").is_visible(), "its only run is off the ratio axis"
    page.locator("details.fold").evaluate_all("all => all.forEach((e) => { e.open = true; })")
    until(page, "document.querySelector('#matrices svg').clientWidth > 250")
    page.locator("details").evaluate_all("all => all.forEach((e) => { e.open = true; })")
    page.wait_for_selector("#matrices table")
    assert failed == []
    assert page.locator("img").count() == 0
    assert page.locator("script:not([type])").count() == 5
    for place in (
        "#question",
        "#heatmap figcaption",
        "#heatmap table",
        "#lines .legend",
        "#matrices table",
        "#runs",
        "#unfinished",
    ):
        assert EVIL in page.locator(place).first.text_content(), place
    assert EVIL in page.locator("#benchmark option").all_text_contents()
    page.close()


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A finished sweep with scores by question: cells of one seed, one empty, and encoders before training."""
    folder = write_scored_sweep(tmp_path_factory.mktemp("multirun"), seeds=2, ratios=(0.0, 0.5, 1.0))
    for run in ("large_r1_s1", "base_r0.5_s0", "base_r0.5_s1"):
        shutil.rmtree(folder / run)
    plan = json.loads((folder / "sweep.json").read_text())
    plan["runs"] = [run for run in plan["runs"] if (folder / run["run_name"]).exists()]
    plan["analysis"] = {"smallest_effect": {"map": 0.01}, "draws": 1000}
    write_json(folder / "sweep.json", plan)
    for model in ("small", "base", "large"):
        write_variant(folder, model, 0.5, 0, -0.2, steps=0)
    return write_page(folder, folder / "report").page


@pytest.fixture
def effect(browser, scored):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    failed = has_failed(page)
    page.goto(scored.as_uri())
    page.wait_for_selector("#effect svg")
    yield page, failed, pd.read_csv(scored.parent / "statistics_effects.csv")
    page.close()


@pytest.mark.parametrize("reference", ["ratio 0", "the better pure ratio", "the untrained encoder"])
def test_differences_and_verdicts_are_those_of_the_table(effect, reference):
    page, failed, table = effect
    page.select_option("#reference", reference)
    page.locator("#effect > details summary").click()
    shown = page.locator("#effect-table table").evaluate_all(
        "all => all.map((t) => [t.caption.textContent, [...t.rows].map((r) => [...r.cells].map((c) => c.textContent))])"
    )
    assert len(shown) == 4
    rows = table[table.reference == reference]
    assert len(rows) > 12
    titles = {"mono": "Inside a language: mAP", "cross": "Across two languages: mAP"}
    for (setting, metric), own in rows.groupby(["setting", "metric"]):
        label = METRICS[metric].label
        title = titles.get(setting, f"In the pool of all languages: {label}")
        ((header, *body),) = [cells for caption, cells in shown if caption.endswith(title)]
        found = {(line[0].split()[0], ratio): text for line in body for ratio, text in zip(header[1:], line[1:])}
        for _, row in own.iterrows():
            value, low, high = (f"{number:+.{METRICS[metric].decimals}f}".replace("-", "−")
                                for number in (row.value, row.low_all, row.high_all))  # fmt: skip
            text = f"{value} [{low}, {high}] {row.verdict} (n = {row.seeds})"
            assert found[row.model, f"{row.ratio:g}"] == text
    assert failed == []


def test_there_are_three_pictures_of_every_setting_with_zero_and_what_matters(effect):
    page, failed, _ = effect
    assert page.locator("#effect h3").all_text_contents() == [
        "Against the ratio: a line for each size",
        "Against the size: a line for each ratio",
        "Size by ratio",
    ]
    assert page.locator("#effect figure svg").count() == 3 * 4
    first = page.locator("#effect figure").first
    assert first.locator(".note").text_content() == "mAP less ratio 0 (higher is better)"
    assert first.locator("g[aria-label=rule] line").count() == 1, "zero"
    assert first.locator("g[aria-label=rect] rect").count() == 1, "the smallest effect that matters"
    assert page.locator("#effect figure").nth(3).locator("g[aria-label=rect] rect").count() == 0, "none was declared"
    assert failed == []


def test_cells_of_other_numbers_of_seeds_are_hollow_and_never_the_best(effect):
    page, _, _ = effect
    hollow = "all => all.filter((e) => getComputedStyle(e).fill === 'rgb(255, 255, 255)').length"
    assert page.locator("#effect figure").first.locator("g[aria-label=dot] path").evaluate_all(hollow) == 1
    page.select_option("#reference", "the values themselves")
    assert page.locator("#effect figure").first.locator("g[aria-label=dot] path").evaluate_all(hollow) == 1
    assert page.locator("#effect figure h4").first.text_content() == "mAP, monolingual"


def test_hovering_a_difference_shows_its_range_error_and_seeds(effect):
    page, _, table = effect
    row = table.query("reference == 'ratio 0' and setting == 'mono' and model == 'small' and ratio == 1").iloc[0]
    figure = page.locator("#effect figure").nth(8)
    shown = f"{row.value:+.3f}".replace("0.", ".").replace("-", "−")
    figure.locator("g[aria-label=text] text", has_text=shown).first.hover()
    until(page, "document.querySelectorAll('#effect figure')[8].querySelector('g[aria-label=tip]').textContent")
    words = figure.locator("g[aria-label=tip]").text_content().replace("−", "-").replace("\u200b", " ")
    for part in (
        "small (21M), α = 1, less ratio 0", f"mAP: {row.value:+.4f}, {row.verdict}",
        f"with all others: {row.low_all:+.4f} to {row.high_all:+.4f}",
        f"by itself: {row.low:+.4f} to {row.high:+.4f}", "standard error", "n = 2", "realised ratios 0.5, 0.5",
    ):  # fmt: skip
        assert part in words


@pytest.mark.parametrize("width", [1400, 400])
def test_the_effect_fits_the_window_and_stands_out(browser, scored, tmp_path, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(scored.as_uri())
    page.wait_for_selector("#effect svg")
    screenshots = Path(os.environ.get("MIXLINGUAL_SCREENSHOTS") or tmp_path)
    page.screenshot(path=screenshots / f"effect_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert [found for found in page.evaluate(CONTRAST) if found[0] < 4.5] == []
    outside = page.locator("#effect svg text").evaluate_all("""all => all.filter((text) => {
      const [label, chart] = [text, text.closest("svg")].map((e) => e.getBoundingClientRect());
      return label.left < chart.left - 1 || label.right > chart.right + 1 || label.bottom > chart.bottom + 1;
    }).map((text) => text.textContent)""")
    assert outside == []
    page.close()


def test_a_link_to_a_fold_opens_it(browser, scored):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(scored.as_uri())
    page.wait_for_selector("#effect svg")
    assert not page.locator("#heatmap svg").is_visible()
    page.locator("nav a[href='#scores']").click()
    until(page, "document.querySelector('#heatmap svg').clientWidth > 250")
    assert page.locator("#heatmap svg").is_visible()
    page.close()


def test_while_runs_are_missing_cells_have_no_verdict(browser, tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 1.0))
    shutil.rmtree(folder / "small_r1_s0")
    report = write_page(folder, folder / "report")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(report.page.as_uri())
    page.wait_for_selector("#effect svg")
    box = page.locator(".answer").inner_text()
    assert box.startswith("1 of 6 runs is missing, so there is no verdict yet.")
    assert "so far change mAP by" in box
    page.locator("#effect > details summary").click()
    tables = page.locator("#effect-table").inner_text()
    assert "(n = 1)" in tables
    assert not any(word in tables for word in ("better (n", "worse (n", "undecided"))
    page.close()
