"""The report page shows its figures in a real browser, runs nothing else and asks nothing of a network."""

import json
import os
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
from sweep_fixture import result, write_answers, write_curve, write_done, write_json, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.measures.registry import METRICS
from mixlingual.reporting import figures, write

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
    page.goto((folder / "report" / "index.html").as_uri())
    page.wait_for_selector("#heatmap svg")
    yield page, failed
    page.close()


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
    for chart in ("#heatmap", "#lines", "#tradeoff", "#matrices", "#bias-charts", "#curves"):
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
    page.goto((folder / "report" / "index.html").as_uri())
    page.wait_for_selector("#lines svg")
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
    assert frames.count() == 3
    page.select_option("#metric", "rank_distance")
    at_zero = set(frames.evaluate_all(columns))
    assert (len(at_half), len(at_zero)) == (1, 1)
    assert max(at_zero) < min(at_half)


def test_hovering_shows_seeds_and_spread(opened):
    page, _ = opened
    cell = page.locator("#heatmap svg g[aria-label=text] text", has_text="0.310").first
    cell.hover()
    tip = page.locator("#heatmap svg g[aria-label=tip]")
    page.wait_for_function("document.querySelector('#heatmap g[aria-label=tip]').textContent.includes('seed 1')")
    words = tip.text_content()
    for part in ("small (21M), α = 0.5", "mAP: 0.3100", "seed 0: 0.3000", "seed 1: 0.3200", "spread of seeds: 0.0200"):
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
    measured = ("rank_distance", "rank_distance_normalized", "rank_distance_median", "lift@10.diagonal_preference")
    assert names == [METRICS[name].label for name in (*measured, "concordance.w")]
    assert "Without bias: k - 1 for k languages with an answer." in page.locator("#bias-charts").text_content()
    page.locator("#bias > details > summary").click()
    captions = page.locator("#bias-table caption").all_text_contents()
    assert "without bias: 0.01)" in captions[-1]
    assert "without bias: 1.5)" in captions[0]


def test_training_curves_are_drawn_for_the_runs_that_have_them(opened):
    page, _ = opened
    assert page.locator("#curves svg g[aria-label=line] path").count() == 2
    open_table(page, "#curves")
    rows = page.locator("#curves tbody tr").all_text_contents()
    assert rows == ["small_r0_s012.9901002.000", "small_r0.5_s112.9901002.000"]
    page.select_option("#curve-model", "base")
    assert "No finished run has these values." in page.locator("#curves .chart").text_content()


def test_the_keyboard_reaches_every_control(opened):
    page, _ = opened
    wanted = page.evaluate(
        "[...document.querySelectorAll('select, summary, a[href]')].filter((e) => e.getClientRects().length).length"
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
    assert len(names) == 4 + 4 + 5
    assert all(names)


def test_printing_shows_charts_and_hides_controls(opened):
    page, _ = opened
    page.emulate_media(media="print")
    assert page.locator("#heatmap svg").is_visible()
    assert not any(control.is_visible() for control in page.locator("select").all())
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")


@pytest.mark.parametrize("width", [1400, 400])
def test_nothing_is_wider_than_the_window(browser, folder, tmp_path, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((folder / "report" / "index.html").as_uri())
    page.wait_for_selector("#heatmap svg")
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
    page.wait_for_selector("#matrices svg")
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
    page.wait_for_selector("#heatmap svg" if known else "#runs")
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
    page.wait_for_selector("#heatmap svg")
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
