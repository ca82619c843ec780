// Fills the page and redraws what the controls choose. All text is set as text; nothing here parses HTML.
"use strict";

(() => {
  const { data, cellsOf, meanMatrix, seedsInWords, inWords } = sweep;
  const byId = (id) => document.getElementById(id);
  const chosen = (id) => byId(id).value;
  const ALL = "all";

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const scoresOf = (setting, metric) => data.benchmarks[chosen("benchmark")].scores[setting]?.[metric];

  // Text ------------------------------------------------------------------------------------------------------------

  function table(caption, header, rows) {
    const made = element("table");
    made.append(element("caption", caption));
    const head = made.createTHead().insertRow();
    for (const title of header) head.append(element("th", title, { scope: "col" }));
    const body = made.createTBody();
    for (const [first, ...rest] of rows) {
      const row = body.insertRow();
      row.append(element("th", first, { scope: "row" }));
      for (const text of rest) row.insertCell().textContent = text;
    }
    return made;
  }

  // Sizes in rows and points in columns, as text.
  function gridTable(caption, cells, text) {
    const byPlace = d3.index(cells, (c) => c.model, (c) => c.point);
    const points = data.points.filter((point) => cells.some((c) => c.point === point));
    const rows = data.models.map((model) => [model.label, ...points.map((point) => {
      const cell = byPlace.get(model)?.get(point);
      return cell ? text(cell) : "-";
    })]);
    return table(caption, ["size / ratio", ...points.map((p) => p.label)], rows);
  }

  function sizeLegend(models = data.models) {
    return models.map((model) => {
      const i = data.models.indexOf(model);
      const item = element("li");
      item.append(charts.sample(charts.sizeColour(i, data.models.length), charts.symbol(i)), element("span", model.label));
      return item;
    });
  }

  // Browsers may lay the page out once before they know how wide it is.
  const widthOf = (box) => Math.max(box.clientWidth, 220);

  // Puts a chart into its figure with its caption, legend and table. `draw` gets the width to draw at.
  function show(id, { title, caption, draw, makeTable, legend = [] }) {
    const figure = byId(id), box = figure.querySelector(".chart");
    const list = element("ul", undefined, { class: "legend" });
    list.append(...legend);
    box.replaceChildren(...(legend.length ? [list] : []), draw ? draw(widthOf(box)) : "");
    figure.querySelector("figcaption").textContent = title;
    figure.querySelector(".note").textContent = caption;
    fillWhenOpen(figure.querySelector("details"), makeTable);
  }

  // Tables are made when they are first looked at.
  function fillWhenOpen(details, makeTable) {
    const box = details.querySelector(".scroll");
    const fill = () => details.open && box.replaceChildren(...[makeTable()].flat());
    details.ontoggle = fill;
    fill();
  }

  // Charts ----------------------------------------------------------------------------------------------------------

  const VALUES = "the values themselves";
  const RATIO = "monolingual ratio α", WEIGHTS = "weights without embeddings";

  // What the panels of the effect show: the differences from a reference, or means over seeds.
  function effectPanels() {
    const benchmark = chosen("benchmark"), reference = chosen("reference");
    if (reference !== VALUES)
      return data.effects[benchmark].filter((family) => family.reference === reference).map((family) => differencePanel(family, reference));
    const shown = data.headlines.filter(([setting, metric]) => scoresOf(setting, metric)?.[ALL]);
    return shown.map(([setting, metric]) => {
      const facts = data.metrics[metric];
      const cells = cellsOf(scoresOf(setting, metric)[ALL], facts).filter((c) => c.point.series === data.ratio_series)
        .map((c) => ({ ...c, value: c.mean, text: charts.describe(c, facts) }));
      return { facts, cells, title: `${facts.label}, ${data.settings[setting]}`, axis: `${facts.label} (${facts.direction})`, words: (c) => `${inWords(c, facts)} (n = ${c.seeds.length})` };
    }).filter((panel) => panel.cells.length);
  }

  function differencePanel(family, reference) {
    const facts = data.metrics[family.metric];
    const number = (value) => d3.format(`+.${facts.decimals}f`)(value);
    const cells = family.cells.map((cell) => {
      const model = data.models[cell.model], point = data.points[cell.point];
      const realised = data.runs.filter((run) => run.model === cell.model && run.point === cell.point && run.realised !== null).map((run) => run.realised);
      const text = [
        `${model.label}, α = ${point.label}, less ${reference}`, `${facts.label}: ${number(cell.value)}${cell.verdict ? `, ${cell.verdict}` : ""}`,
        `with all others: ${number(cell.low_all)} to ${number(cell.high_all)}`, `by itself: ${number(cell.low)} to ${number(cell.high)}`,
        `standard error ${cell.error.toPrecision(2)}, p ${cell.p < 0.001 ? "< 0.001" : `= ${cell.p.toFixed(3)}`}`, `n = ${cell.seeds}`,
        ...(realised.length ? [`realised ratios ${realised.join(", ")}`] : []),
      ].join("\n");
      return { ...cell, model, point, low: cell.low_all, high: cell.high_all, text };
    });
    const zeros = Object.entries(family.at).map(([model, ratio]) => ({
      model: data.models[model], point: data.points.find((p) => p.ratio === ratio && p.series === data.ratio_series), value: 0, low: 0, high: 0,
      reference: true, verdict: "", sign: "", text: `${data.models[model].label}, α = ${ratio}: the reference`,
    })).filter((zero) => cells.some((c) => c.model === zero.model));
    return {
      family, facts, cells: [...cells, ...zeros], title: `${family.title}: ${facts.label}`, axis: `${facts.label} less ${reference} (${facts.direction})`,
      words: (c) => (c.reference ? "reference" : `${number(c.value)} [${number(c.low)}, ${number(c.high)}] ${c.verdict ?? ""} (n = ${c.seeds})`),
    };
  }

  function showEffect() {
    const panels = effectPanels(), isValue = chosen("reference") === VALUES;
    const all = panels.flatMap((panel) => panel.cells);
    const models = data.models.filter((model) => all.some((c) => c.model === model));
    const points = data.points.filter((point) => all.some((c) => c.point === point));
    const ratios = points.filter((point) => all.some((c) => c.point === point && !c.reference));
    const sizeLook = (c) => ({ x: c.point.ratio, key: c.model.label, colour: charts.sizeColour(data.models.indexOf(c.model), data.models.length), mark: charts.symbol(data.models.indexOf(c.model)) });
    const ratioLook = (c) => ({ x: c.model.weights, key: c.point.label, colour: charts.ratioColour(ratios.indexOf(c.point), ratios.length), mark: charts.symbol(ratios.indexOf(c.point)) });
    const lines = (look, options, kept) => ({ cells, facts, family, title }, width) => charts.bands({
      rows: d3.sort(cells.filter(kept).map((c) => ({ ...c, ...look(c) })), (r) => r.x), ...options, decimals: facts.decimals,
      zero: !isValue, shaded: family?.smallest, width, title: `${title}, ${options.xLabel}`,
    });
    const map = ({ cells, facts, title }, width) => isValue
      ? charts.heatmap({ cells, models, points, facts, width, title: `${title}, size by ratio` })
      : charts.differences({ cells, models, points, larger: facts.larger, decimals: facts.decimals, width, title: `${title}, size by ratio` });
    const ratioLegend = ratios.map((point, i) => {
      const item = element("li");
      item.append(charts.sample(charts.ratioColour(i, ratios.length), charts.symbol(i)), element("span", `α = ${point.label}`));
      return item;
    });
    const pictures = [
      ["Against the ratio: a line for each size", sizeLegend(models), lines(sizeLook, { xLabel: RATIO, ticks: points.length <= 7 ? points.map((p) => p.ratio) : undefined }, () => true)],
      ...(models.length > 1 ? [["Against the size: a line for each ratio", ratioLegend, lines(ratioLook, { xLabel: WEIGHTS, log: true, ticks: models.map((m) => m.weights) }, (c) => !c.reference)]] : []),
      ["Size by ratio", isValue ? [] : signs(), map],
    ];
    for (const part of [byId("effect"), document.querySelector("nav a[href='#effect']").parentElement]) part.hidden = !all.length;
    byId("effect-charts").replaceChildren(...pictures.flatMap(([title, legend, draw]) => {
      const list = element("ul", undefined, { class: "legend" }), box = element("div", undefined, { class: "multiples" });
      list.append(...legend);
      box.append(...panels.map((panel) => {
        const figure = element("figure"), chart = element("div", undefined, { class: "chart" });
        figure.append(element("h4", panel.title), element("p", panel.axis, { class: "note" }), chart);
        figure.draw = () => chart.replaceChildren(draw(panel, widthOf(chart)));
        return figure;
      }));
      return [element("h3", title), list, box];
    }));
    for (const figure of byId("effect-charts").querySelectorAll("figure")) figure.draw?.();
    const level = panels[0]?.family?.level;
    byId("effect-note").textContent = isValue
      ? "Means over seeds; bands: smallest to largest seed, which are no confidence intervals. Framed: the best mean of a size, not a test. Hollow or dashed: another number of seeds than most, never the best."
      : `Each size and ratio less ${chosen("reference")} of that size, paired by question and seed. Bands: all of a panel hold together with ${100 * level} %. ${panels.some((p) => p.family.smallest) ? "Grey: too small to matter, as declared. " : ""}Hollow or dashed: another number of seeds than most.`;
    fillWhenOpen(byId("effect-table").parentElement, () => panels.map((panel) => gridTable(`${panel.axis}: ${panel.title}`, panel.cells, panel.words)));
  }

  const signs = () => ["purple: better", "orange: worse", "+ better", "− worse", "= as good", "? undecided"].map((text) => element("li", text));

  function showGrid() {
    const [benchmark, setting, metric, language] = ["benchmark", "setting", "metric", "language"].map(chosen);
    const facts = data.metrics[metric];
    const cells = cellsOf(scoresOf(setting, metric)[language], facts);
    const where = language === ALL ? "" : `, questions in ${language}`;
    const title = `${facts.label} on ${benchmark}, ${data.settings[setting]}${where}`;
    const sense = [facts.meaning, facts.unbiased && `Without bias: ${facts.unbiased}.`].filter(Boolean).join(" ");
    const makeTable = () => gridTable(`${title}: mean [smallest, largest seed]`, cells, (c) => inWords(c, facts));
    const points = data.points, models = data.models;
    show("heatmap", {
      title: `${title} by size and ratio`, makeTable,
      caption: `Means over seeds (${seedsInWords(cells)}); ${facts.direction}. Framed: the best mean of a size, not a test. Dashed: no finished run. ${sense}`,
      draw: (width) => charts.heatmap({ cells, models, points, facts, width, title }),
    });
    show("lines", {
      title: `${title} against the ratio`, makeTable, legend: sizeLegend(),
      caption: `Line: mean over seeds (${seedsInWords(cells)}); marks: the seeds; band: smallest to largest seed, which is no confidence interval.${beforeTraining(cells, facts)}`,
      draw: (width) => charts.lines({ cells, models, facts, reference: language === ALL ? data.benchmarks[benchmark].references[metric] : undefined, width, height: Math.max(300, 44 * models.length + 60), title }),
    });
    showTradeoff(benchmark, metric, language, where);
    showBest(benchmark, metric, language, where);
  }

  // Baselines in words: their levels are drawn only within the range of the lines.
  function beforeTraining(cells, facts) {
    const levels = cells.filter((c) => c.point.baseline);
    return levels.length ? ` Dotted, where in range: before any training (${levels.map((c) => `${c.model.label} ${c.mean.toFixed(facts.decimals)}`).join("; ")}).` : "";
  }

  // The best ratio of each size in every setting that has the measure.
  function showBest(benchmark, metric, language, where) {
    const facts = data.metrics[metric];
    const settings = Object.keys(data.settings).filter((setting) => scoresOf(setting, metric)?.[language]);
    const best = settings.map((setting) => cellsOf(scoresOf(setting, metric)[language], facts).filter((c) => c.best));
    const text = (cells) => cells.map((c) => `${c.point.label}: ${inWords(c, facts)}`).join(" and ") || "-";
    const rows = data.models.map((model) => [model.label, ...best.map((cells) => text(cells.filter((c) => c.model === model)))]);
    const caption = `${facts.label} on ${benchmark}${where} (${facts.direction}): α of the best mean: mean [smallest, largest seed]; not a test`;
    byId("best").replaceChildren(table(caption, ["size", ...settings.map((setting) => data.settings[setting])], rows));
  }

  function showTradeoff(benchmark, wanted, language, where) {
    const shared = Object.keys(scoresOf("mono")?.[wanted] ? { [wanted]: 1 } : data.benchmarks[benchmark].scores.mono);
    const metric = shared.find((name) => scoresOf("mono", name)?.[language] && scoresOf("cross", name)?.[language]);
    if (!metric) return show("tradeoff", { title: `Trade-off on ${benchmark}`, caption: "It needs scores inside and across languages.", makeTable: () => [] });
    const facts = data.metrics[metric];
    const [mono, cross] = ["mono", "cross"].map((setting) => cellsOf(scoresOf(setting, metric)[language], facts));
    const other = d3.index(cross, (c) => c.model, (c) => c.point);
    const places = mono.map((c) => ({ ...c, x: c.mean, y: other.get(c.model)?.get(c.point)?.mean })).filter((c) => c.y !== undefined && !c.point.baseline);
    const title = `${facts.label} on ${benchmark}${where}: inside a language against across languages`;
    return show("tradeoff", {
      title, legend: sizeLegend(),
      caption: "Each mark is a size and ratio, mean over seeds. Arrows lead along the ratio, whose ends are named, from cross-lingual (0) to monolingual (1) batches. Up and to the right is better at both.",
      draw: (width) => charts.tradeoff({ places, models: data.models, ratioSeries: data.ratio_series, facts, width: Math.min(width, 720), title }),
      makeTable: () => gridTable(`${title}: monolingual / cross-lingual`, places, (c) => `${c.x.toFixed(facts.decimals)} / ${c.y.toFixed(facts.decimals)}`),
    });
  }

  function showMatrices() {
    const { languages, scripts, matrices } = data.benchmarks[chosen("benchmark")];
    const metric = chosen("matrix-metric"), model = data.models.find((m) => m.name === chosen("matrix-model"));
    const isLift = metric === "lift@10", difference = chosen("matrix-values") === "difference";
    let grids = matrices[metric] ? data.points.map((point) => ({ point, values: meanMatrix(matrices[metric], model, point) })).filter((g) => g.values) : [];
    const first = grids[0];
    if (difference) grids = grids.slice(1).map((g) => ({ ...g, values: g.values.map((v, i) => (v === undefined || first.values[i] === undefined ? undefined : v - first.values[i])) }));
    const range = d3.extent(grids.flatMap((g) => g.values));
    const groups = d3.groups(languages, (code, i) => scripts[i]).map(([script, codes]) => `${script || "unknown"} (${codes.join(", ")})`);
    const meaning = isLift
      ? "log2 of how much more often a language is shown in the first ten results than its share of the pool; 0 is in proportion."
      : `${data.metrics[metric]?.label ?? "no measure"}; diagonal: monolingual retrieval, elsewhere: candidates in one other language.`;
    byId("matrix-note").textContent = `Rows: language of the question; columns: of the candidates. ${meaning} ${difference && first ? `Difference from α = ${first.point.label}. ` : ""}Means over seeds; one colour scale, ${grids.length ? `${range[0].toFixed(3)} (dark) to ${range[1].toFixed(3)} (light)` : "no values"}. Scripts in order: ${groups.join("; ")}.`
      .replace("(dark)", difference || isLift ? "(purple if below 0)" : "(dark)").replace("(light)", difference || isLift ? "(orange if above 0)" : "(yellow)");
    byId("matrices").replaceChildren(...grids.map((grid) => matrixFigure(grid, { languages, range, diverging: difference || isLift, decimals: isLift ? 2 : 3, model })));
    for (const figure of byId("matrices").children) figure.draw();
  }

  function matrixFigure({ point, values }, { languages, range, diverging, decimals, model }) {
    const figure = element("figure"), box = element("div", undefined, { class: "chart" });
    const title = `${model.label}, α = ${point.label}`;
    const details = element("details");
    details.append(element("summary", "The values as a table"), element("div", undefined, { class: "scroll" }));
    figure.append(element("h4", title), box, details);
    const cells = values.map((value, i) => ({ query: languages[Math.floor(i / languages.length)], candidate: languages[i % languages.length], value })).filter((c) => c.value !== undefined);
    fillWhenOpen(details, () => table(title, ["question / candidates", ...languages], languages.map((query, q) =>
      [query, ...languages.map((_, c) => values[q * languages.length + c]?.toFixed(decimals) ?? "-")])));
    figure.draw = () => box.replaceChildren(charts.matrix({ cells, languages, range, diverging, decimals, width: widthOf(box), title }));
    return figure;
  }

  function showBias() {
    const benchmark = chosen("benchmark"), { references } = data.benchmarks[benchmark];
    const groups = data.bias.map(({ title, measures }) => ({ title, measures: measures.filter((m) => scoresOf(m.setting, m.metric)?.[ALL]).map(biasMeasure) }));
    const all = groups.flatMap(({ measures }) => measures), more = byId("bias-more");
    byId("bias-legend").replaceChildren(...sizeLegend());
    byId("bias-charts").replaceChildren(...all.filter((m) => m.foremost).map((m) => m.figure));
    more.hidden = all.every((m) => m.foremost);
    more.lastElementChild.replaceChildren(...groups.flatMap(({ title, measures }) => {
      const box = element("div", undefined, { class: "multiples" });
      box.append(...measures.filter((m) => !m.foremost).map((m) => m.figure));
      return box.childElementCount ? [element("h3", title), box] : [];
    }));
    if (!all.length) byId("bias-charts").textContent = `No finished run has measures of language bias on ${benchmark}.`;
    for (const { metric, facts, cells, box } of all)
      box.append(charts.lines({ cells, models: data.models, facts, reference: references[metric], width: widthOf(box), height: 170, title: `${facts.label} on ${benchmark} against the ratio`, small: true }));
    fillWhenOpen(byId("bias-table").parentElement, () => all.map(({ metric, facts, cells }) => {
      const level = references[metric] === undefined ? facts.unbiased : `${+references[metric].toPrecision(4)}`;
      return gridTable(`${facts.label} on ${benchmark} (${facts.direction}; without bias: ${level})`, cells, (c) => inWords(c, facts));
    }));
  }

  // A measure of language bias with its numbers and an empty figure.
  function biasMeasure({ setting, metric, foremost }) {
    const facts = data.metrics[metric], figure = element("figure"), box = element("div", undefined, { class: "chart" });
    figure.append(element("h4", facts.label), element("p", facts.direction, { class: "note" }), box,
      element("p", `${facts.meaning} Without bias: ${facts.unbiased}.`, { class: "note" }));
    return { metric, foremost, facts, figure, box, cells: cellsOf(scoresOf(setting, metric)[ALL], facts) };
  }

  function showCurves() {
    if (!byId("training")) return;
    const column = chosen("curve-column"), model = data.models.find((m) => m.name === chosen("curve-model"));
    const of = data.runs.map((run, i) => ({ run, curve: data.curves[i] })).filter(({ run, curve }) => data.models[run.model] === model && curve[column]);
    const rows = of.flatMap(({ run, curve }) => curve.step.map((step, i) => ({ run: run.name, point: data.points[run.point], step, value: curve[column][i] })).filter((row) => row.value !== null));
    const points = data.points.filter((point) => rows.some((row) => row.point === point));
    const label = column.replaceAll("_", " "), title = `${label} during training, ${model.label}`;
    show("curves", {
      title, caption: "One line per run, coloured by ratio; points of curves.csv, thinned. A curve that only one kind of batch has is missing where there are none of that kind.",
      legend: points.map((point, i) => {
        const item = element("li");
        item.append(charts.sample(charts.ratioColour(i, points.length)), element("span", `α = ${point.label}`));
        return item;
      }),
      draw: rows.length ? (width) => charts.curves({ rows, points, label, width, title }) : null,
      makeTable: () => table(`${title}: first and last point`, ["run", "first step", "value", "last step", "value"], d3.groups(rows, (r) => r.run).map(([run, [...points]]) => {
        const [first, last] = [points[0], points.at(-1)];
        return [run, `${first.step}`, first.value.toPrecision(4), `${last.step}`, last.value.toPrecision(4)];
      })),
    });
  }

  // Controls --------------------------------------------------------------------------------------------------------

  // Sets the choices of a control, and keeps what was chosen where that is still possible.
  function offer(id, choices, preferred) {
    const select = byId(id), before = select.value;
    select.replaceChildren(...choices.map(([value, text]) => element("option", text, { value })));
    const values = choices.map(([value]) => value);
    select.value = [before, preferred].find((value) => values.includes(value)) ?? values[0];
  }

  const names = (found) => Object.keys(found ?? {});

  function offerAll() {
    const benchmark = data.benchmarks[chosen("benchmark")];
    const references = [...new Set((data.effects[chosen("benchmark")] ?? []).map((family) => family.reference))];
    offer("reference", [...references.map((name) => [name, `the difference from ${name}`]), [VALUES, VALUES]]);
    offer("setting", Object.entries(data.settings).filter(([setting]) => names(benchmark.scores[setting]).length), "multi");
    offer("metric", names(benchmark.scores[chosen("setting")]).map((metric) => [metric, data.metrics[metric].label]));
    const found = benchmark.scores[chosen("setting")][chosen("metric")];
    offer("language", [ALL, ...benchmark.languages].filter((code) => found[code]).map((code) => [code, code === ALL ? "all languages" : code]));
    offer("matrix-metric", names(benchmark.matrices).map((metric) => [metric, data.metrics[metric]?.label ?? "log2 lift@10"]), "lift@10");
  }

  const showAll = () => { offerAll(); showEffect(); showGrid(); showMatrices(); showBias(); showCurves(); };

  offer("benchmark", names(data.benchmarks).map((name) => [name, name]));
  const withRuns = data.models.filter((model, i) => data.runs.some((run) => run.model === i)).map((model) => [model.name, model.label]);
  offer("matrix-model", withRuns);
  if (byId("training")) {
    offer("curve-model", data.models.filter((model, i) => data.runs.some((run, r) => run.model === i && names(data.curves[r]).length)).map((model) => [model.name, model.label]));
    offer("curve-column", [...new Set(data.curves.flatMap(names))].filter((name) => name !== "step").map((name) => [name, name.replaceAll("_", " ")]));
  }
  offer("matrix-values", [["value", "as measured"], ["difference", "difference from the lowest ratio"]]);
  byId("benchmark").addEventListener("change", showAll);
  byId("reference").addEventListener("change", showEffect);
  for (const id of ["setting", "metric", "language"]) byId(id).addEventListener("change", () => { offerAll(); showGrid(); });
  for (const id of ["matrix-model", "matrix-metric", "matrix-values"]) byId(id).addEventListener("change", showMatrices);
  for (const id of ["curve-model", "curve-column"]) byId(id)?.addEventListener("change", showCurves);

  // A fold has no width while it is closed, and what is closed is not printed.
  const folds = [...document.querySelectorAll("details.fold")];
  const within = { scores: showGrid, "trade-off": showGrid, bias: showBias, training: showCurves };
  for (const fold of folds) fold.addEventListener("toggle", () => fold.open && within[fold.closest("section").id]?.());
  const follow = () => { const fold = location.hash && byId(location.hash.slice(1))?.querySelector("details.fold"); if (fold) fold.open = true; };
  addEventListener("hashchange", follow);
  follow();
  addEventListener("beforeprint", () => { for (const fold of folds) fold.open = true; showAll(); });

  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    showAll();
  }).observe(document.body);
})();
