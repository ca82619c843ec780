// The numbers of the sweep that are embedded in the page, and the means that the charts and tables show of them.
"use strict";

const sweep = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // The finished cells of a grid: mean over seeds, extremes and seeds; several runs of one seed count as their mean.
  function cellsOf(values, facts) {
    const runs = data.runs.map((run, i) => ({ ...run, value: values[i] })).filter((run) => run.value !== null);
    const cells = d3.flatRollup(
      runs,
      (group) => d3.rollups(group, (same) => d3.mean(same, (run) => run.value), (run) => run.seed).map(([seed, value]) => ({ seed, value, realised: group.find((run) => run.seed === seed).realised })),
      (run) => run.model, (run) => run.point,
    ).map(([model, point, seeds]) => ({
      model: data.models[model], point: data.points[point], seeds: d3.sort(seeds, (s) => s.seed),
      mean: d3.mean(seeds, (s) => s.value), low: d3.min(seeds, (s) => s.value), high: d3.max(seeds, (s) => s.value),
    }));
    tellApart(cells);
    markBest(cells, facts);
    return d3.sort(cells, (c) => data.models.indexOf(c.model), (c) => data.points.indexOf(c.point));
  }

  // Hollow: cells of another number of seeds than most of their series (of two as frequent, the larger counts).
  function tellApart(cells) {
    for (const [, row] of d3.groups(cells, (c) => c.point.series)) {
      const counts = d3.rollups(row, (same) => same.length, (c) => c.seeds.length);
      const [usual] = d3.greatest(counts, (a, b) => d3.ascending(a[1], b[1]) || d3.ascending(a[0], b[0]));
      for (const cell of row) cell.hollow = cell.seeds.length !== usual;
    }
  }

  // The best means of each size within each series, as they look when written; none that is told apart.
  function markBest(cells, facts) {
    for (const [, row] of d3.groups(cells, (c) => `${c.model.name}\n${c.point.series}`)) {
      const written = (c) => Number(c.mean.toFixed(facts.decimals));
      const best = facts.larger ? d3.max(row, written) : d3.min(row, written);
      for (const cell of row) cell.best = facts.larger !== null && row.length > 1 && written(cell) === best && !cell.hollow;
    }
  }

  function seedsInWords(cells) {
    const [least, most] = d3.extent(cells, (c) => c.seeds.length);
    return least === most ? `n = ${least}` : `n = ${least} to ${most}`;
  }

  function inWords(cell, facts) {
    const [mean, low, high] = [cell.mean, cell.low, cell.high].map((value) => value.toFixed(facts.decimals));
    return cell.seeds.length > 1 ? `${mean} [${low}, ${high}]` : mean;
  }

  // Mean over seeds of a matrix at a size and point; null where no run has one.
  function meanMatrix(all, model, point) {
    const found = all.filter((values, i) => values && data.models[data.runs[i].model] === model && data.points[data.runs[i].point] === point);
    if (!found.length) return null;
    return d3.range(found[0].length).map((i) => d3.mean(found, (values) => values[i]));
  }

  return { data, cellsOf, meanMatrix, seedsInWords, inWords };
})();
