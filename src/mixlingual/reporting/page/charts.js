// Draws the charts: functions from numbers to SVG elements. They know neither the page nor its controls.
// All text reaches the page through text nodes; nothing here parses HTML.
"use strict";

const charts = (() => {
  const RATIO = "monolingual ratio α";
  const BEST = "#d55e00";
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "cross", "star", "wye"];
  const DASHES = ["none", "6 3", "2 3", "8 3 2 3"];

  // Dark to middling, so that every line stands out from white; evenly darker, so that hue does not matter.
  const sizeColour = (i, n) => d3.interpolatePlasma(n > 1 ? (0.62 * i) / (n - 1) : 0.1);
  const ratioColour = (i, n) => d3.interpolateViridis(n > 1 ? (0.72 * i) / (n - 1) : 0.1);
  const ink = (colour) => (d3.lab(colour).l > 50 ? "#000" : "#fff");
  const symbol = (i) => SYMBOLS[i % SYMBOLS.length];
  const letters = (labels, size = 6.6) => size * d3.max(labels, (label) => label.length);
  const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  function describe(cell, facts) {
    const number = (value) => value.toFixed(facts.decimals);
    const drew = (realised) => (realised === null || cell.point.baseline ? "" : ` (realised ratio ${realised})`);
    const seeds = cell.seeds.map(({ seed, value, realised }) => `seed ${seed}: ${number(value)}${drew(realised)}`);
    const spread = cell.seeds.length > 1 ? [`spread of seeds: ${number(cell.high - cell.low)}`] : [];
    const head = [`${cell.model.label}, α = ${cell.point.label}`, `${facts.label}: ${number(cell.mean)} (n = ${cell.seeds.length})`];
    return [...head, ...seeds, ...spread].join("\n");
  }

  // A scale that holds all values, also where they are all the same.
  function yDomain(values) {
    const [low, high] = d3.extent(values);
    return low === high ? [Math.min(0, low), Math.max(1, high)] : d3.nice(low, high, 10);
  }

  const plot = (options) =>
    Plot.plot({ style: { fontSize: "12px", fontFamily: "inherit", background: "white" }, ...options });

  // Sizes in rows, points in columns; the best of each row framed.
  function heatmap({ cells, models, points, facts, width, title }) {
    const byPlace = d3.index(cells, (c) => c.model.label, (c) => c.point.label);
    const empty = d3.cross(models, points).filter(([m, p]) => !byPlace.get(m.label)?.get(p.label));
    const range = d3.extent(cells, (c) => c.mean);
    const colours = facts.larger === false ? (t) => d3.interpolateViridis(1 - t) : d3.interpolateViridis;
    const shade = (c) => colours(range[1] > range[0] ? (c.mean - range[0]) / (range[1] - range[0]) : 0.5);
    const place = { x: (c) => c.point.label, y: (c) => c.model.label };
    const left = Math.min(letters(models.map((m) => m.label)) + 12, width / 3);
    const upright = letters(points.map((p) => p.label)) > (width - left) / points.length - 4;
    const decimals = Math.min(facts.decimals, (width - left) / points.length < 46 ? 2 : 3);
    return plot({
      width,
      height: 44 * models.length + (upright ? letters(points.map((p) => p.label)) + 30 : 46),
      marginLeft: left, marginRight: 4, marginTop: 4, marginBottom: upright ? letters(points.map((p) => p.label)) + 26 : 42,
      ariaLabel: title,
      x: { domain: points.map((p) => p.label), label: RATIO, labelAnchor: "center", tickSize: 0, tickRotate: upright ? -90 : 0, padding: 0.04 },
      y: { domain: models.map((m) => m.label), label: null, tickSize: 0, padding: 0.06, tickFormat: (t) => shortened(t, Math.floor(left / 6.2)) },
      marks: [
        Plot.cell(empty, { x: ([, p]) => p.label, y: ([m]) => m.label, fill: "#f0f0f0", stroke: "#8a8a8a", strokeDasharray: "3 3", inset: 1 }),
        Plot.text(empty, { x: ([, p]) => p.label, y: ([m]) => m.label, text: () => "–", fill: "#57606a" }),
        Plot.cell(cells, { ...place, fill: shade }),
        Plot.text(cells, { ...place, text: (c) => c.mean.toFixed(decimals), fill: (c) => ink(shade(c)) }),
        Plot.cell(cells.filter((c) => c.hollow), { ...place, fill: "none", stroke: "white", strokeDasharray: "4 3", inset: 3 }),
        Plot.cell(cells.filter((c) => c.best), { ...place, fill: "none", stroke: BEST, strokeWidth: 3, inset: 2 }),
        Plot.tip(cells, Plot.pointer({ ...place, title: (c) => describe(c, facts) })),
      ],
    });
  }

  // One line per size over the ratio, its band from the smallest to the largest seed, and the seeds. Baselines have no
  // ratio: each is a dotted level, where that lies within the range of the lines.
  function lines({ cells: every, models, facts, reference, width, height, title, small = false }) {
    const [levels, cells] = [true, false].map((baseline) => every.filter((c) => c.point.baseline === baseline));
    const series = [...new Set(cells.map((c) => c.point.series))];
    const seeds = cells.flatMap((cell) => cell.seeds.map(({ value }) => ({ ...cell, value })));
    const stroke = (c) => sizeColour(models.indexOf(c.model), models.length);
    const z = (c) => `${c.model.name}\n${c.point.series}`;
    const x = (c) => c.point.ratio;
    const ratios = [...new Set(cells.map(x))].sort(d3.ascending);
    const domain = yDomain([...cells.flatMap((c) => [c.low, c.high]), ...(reference === undefined ? [] : [reference])]);
    const count = small ? 4 : 6, left = 14 + letters(d3.ticks(...domain, count).map(d3.tickFormat(...domain, count)));
    return plot({
      width, height, marginLeft: left, marginRight: 12, marginTop: small ? 8 : 24, marginBottom: small ? 26 : 40,
      ariaLabel: title,
      x: { label: small ? null : RATIO, labelAnchor: "center", ticks: ratios.length <= 7 ? ratios : undefined, tickFormat: String, inset: 8 },
      y: { label: small ? null : `${facts.label} (${facts.direction})`, domain, ticks: count, grid: true },
      marks: [
        reference === undefined ? null : Plot.ruleY([reference], { stroke: "#1b1f24", strokeDasharray: "5 4" }),
        Plot.ruleY(levels.filter((c) => c.mean >= domain[0] && c.mean <= domain[1]), { y: "mean", stroke, strokeWidth: 1.4, strokeDasharray: "1.5 3" }),
        Plot.areaY(cells, { x, y1: "low", y2: "high", z, fill: stroke, fillOpacity: 0.16 }),
        ...series.map((name, i) =>
          Plot.line(cells.filter((c) => c.point.series === name), { x, y: "mean", z, stroke, strokeWidth: 1.8, strokeDasharray: DASHES[i % DASHES.length] })),
        Plot.dot(seeds, { x, y: "value", stroke, fill: (c) => (c.point.series === series[0] && !c.hollow ? stroke(c) : "white"), r: small ? 2.2 : 3.4, symbol: (c) => symbol(models.indexOf(c.model)) }),
        Plot.tip(cells, Plot.pointer({ x, y: "mean", title: (c) => describe(c, facts) })),
      ],
      symbol: { type: "identity" },
    });
  }

  // Lines with bands against a ratio or a size, on axes of their own. Rows: x, value, low, high, key of the line,
  // colour, mark, hollow, text.
  function bands({ rows, xLabel, log, ticks, shaded, zero, decimals, width, height = 220, title }) {
    const domain = yDomain([...rows.flatMap((r) => [r.low, r.high]), ...(zero ? [0] : []), ...(shaded ? [-shaded, shaded] : [])]);
    const sign = zero ? "+" : "";
    const count = d3.ticks(...domain, 5), written = d3.format(`${sign}.${Math.min(decimals, Math.max(0, d3.precisionFixed(d3.tickStep(...domain, 5))))}f`);
    return plot({
      width, height, marginLeft: letters(count.map(written), 7.2) + 14, marginRight: 14, marginTop: 8, marginBottom: 46, ariaLabel: title,
      x: { type: log ? "log" : "linear", label: xLabel, labelAnchor: "center", labelArrow: "none", labelOffset: 38, ticks, tickFormat: log ? ".2s" : String, inset: 10 },
      y: { label: null, domain, ticks: count, tickFormat: written, grid: true },
      symbol: { type: "identity" },
      marks: [
        shaded ? Plot.rect([0], { y1: () => -shaded, y2: () => shaded, fill: "#dcdfe3" }) : null,
        zero ? Plot.ruleY([0], { stroke: "#1b1f24", strokeWidth: 1.2 }) : null,
        Plot.areaY(rows, { x: "x", y1: "low", y2: "high", z: "key", fill: (r) => r.colour, fillOpacity: 0.15 }),
        Plot.line(rows, { x: "x", y: "value", z: "key", stroke: (r) => r.colour, strokeWidth: 1.8 }),
        Plot.dot(rows, { x: "x", y: "value", stroke: (r) => r.colour, fill: (r) => (r.hollow ? "white" : r.colour), r: 3.2, symbol: (r) => r.mark }),
        Plot.tip(rows, Plot.pointer({ x: "x", y: "value", title: "text" })),
      ],
    });
  }

  // Differences by size and ratio on a scale that is centred on 0: purple is better, orange worse.
  function differences({ cells, models, points, larger, decimals, width, title }) {
    const most = d3.max(cells, (c) => Math.abs(c.value)) || 1;
    const shade = (c) => d3.interpolatePuOr(0.5 + ((larger === false ? 0.4 : -0.4) * c.value) / most);
    const place = { x: (c) => c.point.label, y: (c) => c.model.label };
    const left = Math.min(letters(models.map((m) => m.name), 7) + 12, 0.38 * width), side = (width - left) / points.length;
    const empty = d3.cross(models, points).filter(([m, p]) => !cells.some((c) => c.model === m && c.point === p));
    const number = d3.format(`+.${most >= 100 ? 0 : Math.min(decimals, 3)}f`);
    const texts = (c) => (c.reference ? "0" : number(c.value).replace(/([+−-])0\./, "$1."));
    return plot({
      width, height: 44 * models.length + 50, marginLeft: left, marginRight: 4, marginTop: 4, marginBottom: 46, ariaLabel: title,
      x: { domain: points.map((p) => p.label), label: RATIO, labelAnchor: "center", labelArrow: "none", labelOffset: 38, tickSize: 0, padding: 0.04 },
      y: { domain: models.map((m) => m.label), label: null, tickSize: 0, padding: 0.06, tickFormat: (t, i) => shortened(models[i].name, Math.floor((left - 12) / 7)) },
      marks: [
        Plot.cell(empty, { x: ([, p]) => p.label, y: ([m]) => m.label, fill: "#f0f0f0", stroke: "#8a8a8a", strokeDasharray: "3 3", inset: 1 }),
        Plot.cell(cells, { ...place, fill: shade }),
        Plot.cell(cells.filter((c) => c.hollow), { ...place, fill: "none", stroke: "#1b1f24", strokeDasharray: "4 3", inset: 2 }),
        Plot.text(cells, { ...place, text: texts, fill: (c) => ink(shade(c)), fontSize: side < 44 ? 10 : 12, lineAnchor: "bottom" }),
        Plot.text(cells, { ...place, text: (c) => (side < 66 ? c.sign : c.verdict) ?? "", fill: (c) => ink(shade(c)), fontSize: 11, lineAnchor: "top", dy: 3 }),
        Plot.tip(cells, Plot.pointer({ ...place, title: "text" })),
      ],
    });
  }

  // Monolingual against cross-lingual scores; arrows lead along the ratio.
  function tradeoff({ places, models, ratioSeries, facts, width, title }) {
    const stroke = (c) => sizeColour(models.indexOf(c.model), models.length);
    const steps = d3.groups(places.filter((c) => c.point.series === ratioSeries), (c) => c.model)
      .flatMap(([, row]) => d3.pairs(d3.sort(row, (c) => c.point.ratio)));
    const ends = d3.groups(places, (c) => `${c.model.name}\n${c.point.series}`).filter(([, row]) => row.length > 1)
      .map(([, row]) => [d3.least(row, (c) => c.point.ratio), d3.greatest(row, (c) => c.point.ratio)]);
    const text = (c) => `${c.model.label}, α = ${c.point.label}\nmonolingual ${c.x.toFixed(facts.decimals)}\ncross-lingual ${c.y.toFixed(facts.decimals)}`;
    return plot({
      width, height: Math.min(460, 0.8 * width), marginLeft: 54, marginRight: 24, marginTop: 26, marginBottom: 42, grid: true, nice: true, inset: 14,
      ariaLabel: title,
      x: { label: `monolingual ${facts.label}`, labelAnchor: "center" },
      y: { label: `cross-lingual ${facts.label}` },
      symbol: { type: "identity" },
      marks: [
        Plot.arrow(steps, { x1: ([a]) => a.x, y1: ([a]) => a.y, x2: ([, b]) => b.x, y2: ([, b]) => b.y, stroke: ([a]) => stroke(a), strokeWidth: 1.6, headLength: 9, insetEnd: 5, insetStart: 5 }),
        Plot.dot(places, { x: "x", y: "y", stroke, fill: stroke, r: 4, symbol: (c) => symbol(models.indexOf(c.model)) }),
        ...[-12, 13].map((dy, end) => Plot.text(ends.map((pair) => pair[end]), { x: "x", y: "y", text: (c) => c.point.label, fill: stroke, stroke: "white", strokeWidth: 3, dy, fontWeight: 600 })),
        Plot.tip(places, Plot.pointer({ x: "x", y: "y", title: text })),
      ],
    });
  }

  // Query languages in rows, candidate languages in columns.
  function matrix({ cells, languages, range, diverging, decimals, width, title }) {
    const most = Math.max(Math.abs(range[0]), Math.abs(range[1])) || 1;
    const shade = diverging
      ? (v) => d3.interpolatePuOr(0.5 + (0.42 * v) / most)
      : (v) => d3.interpolateViridis(range[1] > range[0] ? (v - range[0]) / (range[1] - range[0]) : 0.5);
    const place = { x: "candidate", y: "query" };
    const left = letters(languages, 9) + 15;
    const side = (width - left - 4) / languages.length;
    const upright = letters(languages) > side - 6;
    const top = upright ? letters(languages, 9) + 17 : 20;
    const text = (c) => `question ${c.query}, candidates ${c.candidate}\n${c.value.toFixed(decimals)}`;
    return plot({
      width, height: side * languages.length + top + 4, marginLeft: left, marginTop: top, marginRight: 4, marginBottom: 4,
      ariaLabel: title,
      x: { domain: languages, round: false, axis: "top", label: null, tickSize: 0, padding: 0.03, tickRotate: upright ? -90 : 0 },
      y: { domain: languages, round: false, label: null, tickSize: 0, padding: 0.03 },
      marks: [
        Plot.cell(cells, { ...place, fill: (c) => shade(c.value) }),
        side < 22 ? null : Plot.text(cells, { ...place, text: (c) => c.value.toFixed(decimals > 2 ? 2 : decimals).replace(/^(-?)0\./, "$1."), fill: (c) => ink(shade(c.value)), fontSize: side < 30 ? 9 : 11 }),
        Plot.tip(cells, Plot.pointer({ ...place, title: text })),
      ],
    });
  }

  // One line per run, coloured by ratio.
  function curves({ rows, points, label, width, title }) {
    const labels = points.map((p) => p.label);
    const stroke = (r) => ratioColour(labels.indexOf(r.point.label), labels.length);
    return plot({
      width, height: Math.min(380, 0.6 * width + 80), marginLeft: 54, marginRight: 12, marginTop: 24, marginBottom: 40, ariaLabel: title,
      x: { label: "step", labelAnchor: "center" },
      y: { label, grid: true, nice: true },
      marks: [
        Plot.line(rows, { x: "step", y: "value", z: "run", stroke, strokeWidth: 1.4 }),
        Plot.tip(rows, Plot.pointer({ x: "step", y: "value", title: (r) => `${r.run}\nstep ${r.step}: ${r.value.toPrecision(4)}` })),
      ],
    });
  }

  // A mark of a legend, drawn as in the chart.
  function sample(colour, name) {
    const svg = d3.create("svg").attr("width", 22).attr("height", 14).attr("aria-hidden", "true");
    svg.append("line").attr("x2", 22).attr("y1", 7).attr("y2", 7).attr("stroke", colour).attr("stroke-width", 2);
    if (name) {
      const kind = `symbol${name[0].toUpperCase()}${name.slice(1)}`;
      svg.append("path").attr("transform", "translate(11,7)").attr("d", d3.symbol(d3[kind], 42)()).attr("fill", colour);
    }
    return svg.node();
  }

  return { describe, heatmap, lines, bands, differences, tradeoff, matrix, curves, sample, sizeColour, ratioColour, symbol };
})();
