/* Charts, drawn from the tables of the page: both have the same numbers. */
(() => {
  "use strict";

  const colours = (element) => {
    const style = getComputedStyle(element);
    const value = (name) => style.getPropertyValue(name).trim();
    return {
      text: style.color,
      muted: value("--bm-muted"),
      line: value("--bm-line"),
      series: [1, 2, 3, 4, 5, 6].map((each) => value(`--bm-s${each}`)),
    };
  };

  const number = (cell) =>
    cell && cell.dataset.v ? Number(cell.dataset.v) : null;

  const label = (cell) => {
    const time = cell.querySelector("time");
    return (time || cell).textContent.trim();
  };

  /* A series is a column whose heading has data-series; rows are latest first. */
  const fromColumns = (table, reverse) => {
    const headings = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    if (reverse) rows.reverse();
    return {
      labels: rows.map((row) => label(row.cells[0])),
      isPart: rows.map((row) => row.dataset.part !== undefined),
      series: headings.flatMap((heading, column) =>
        heading.dataset.series === undefined
          ? []
          : [
              {
                name: heading.textContent.trim(),
                below: heading.dataset.below !== undefined,
                hue: heading.dataset.bmHue,
                isPale: heading.dataset.bmPale !== undefined,
                values: rows.map((row) => number(row.cells[column])),
              },
            ]
      ),
    };
  };

  /* The curve below a heatmap is its line of averages; a first column that is 100% by
     definition would press all others flat. */
  const fromAverages = (table) => {
    const first = table.querySelector(".bm-average .heat-whole") ? 3 : 2;
    const cells = [...table.querySelector(".bm-average").cells].slice(first);
    const headings = [...table.tHead.rows[0].cells].slice(first);
    const known = cells.map(number);
    let end = known.length;
    while (end && known[end - 1] === null) end -= 1;
    return {
      labels: headings.slice(0, end).map((cell) => cell.textContent.trim()),
      isPart: [],
      series: [
        {
          name: table.querySelector(".bm-average th").textContent.trim(),
          values: known.slice(0, end),
        },
      ],
    };
  };

  const language = document.documentElement.lang || "en";
  const format = (unit) => (value) =>
    unit === "%"
      ? value.toLocaleString(language, { style: "percent", maximumFractionDigits: 1 })
      : Math.abs(value).toLocaleString(language);

  const LINES = ["line", "curve", "course"];

  const dataset = (kind, data, colour, series, index) => {
    /* What a segment is compared with has its hue, and is paler. */
    const hue = series.hue === undefined ? index : Number(series.hue);
    const full = colour.series[hue % colour.series.length];
    const shade = series.isPale ? `${full}80` : full;
    const values = series.below
      ? series.values.map((value) => (value === null ? null : -value))
      : series.values;
    const shared = {
      label: series.name,
      data: values,
      borderColor: shade,
      backgroundColor: shade,
    };
    if (!LINES.includes(kind)) {
      /* The bar of a period that is not over is pale, with a line around it. */
      return {
        ...shared,
        backgroundColor: values.map((_, at) => (data.isPart[at] ? `${full}4d` : shade)),
        borderWidth: values.map((_, at) => (data.isPart[at] ? 1 : 0)),
        maxBarThickness: 48,
        borderRadius: 3,
      };
    }
    return {
      ...shared,
      borderWidth: 2,
      tension: 0,
      pointRadius: values.length > 60 ? 0 : 2.5,
      pointHoverRadius: 5,
      pointStyle: ["circle", "rect", "triangle", "rectRot", "star", "cross"][hue % 6],
      borderDash: hue % 2 ? [6, 3] : [],
      /* The part of the line that leads to a period that is not over is dotted. */
      segment: {
        borderDash: (context) => (data.isPart[context.p1DataIndex] ? [2, 3] : undefined),
      },
    };
  };

  const draw = (box) => {
    const table = document.getElementById(box.dataset.bmTable);
    if (!table || !window.Chart) return null;
    const kind = box.dataset.bmChart;
    const isLine = LINES.includes(kind);
    const data =
      kind === "curve"
        ? fromAverages(table)
        : fromColumns(table, kind === "line" || kind === "stacked");
    if (!data.series.length || !data.labels.length) return null;
    box.hidden = false;
    const colour = colours(box);
    const value = format(box.dataset.bmUnit);
    const amount = {
      beginAtZero: true,
      stacked: kind === "stacked",
      grid: { color: colour.line },
      border: { display: false },
      ticks: { color: colour.muted, callback: value, precision: 0, maxTicksLimit: 6 },
    };
    const names = {
      stacked: kind === "stacked",
      grid: { display: false },
      border: { color: colour.line },
      ticks: { color: colour.muted, maxRotation: 0, autoSkipPadding: 12 },
    };
    if (box.dataset.bmUnit === "%") delete amount.ticks.precision;
    return new window.Chart(box.querySelector("canvas"), {
      type: isLine ? "line" : "bar",
      data: {
        labels: data.labels,
        datasets: data.series.map((series, index) =>
          dataset(kind, data, colour, series, index)
        ),
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", axis: "x", intersect: false },
        scales: { x: names, y: amount },
        plugins: {
          legend: {
            display: data.series.length > 1,
            position: "bottom",
            labels: { color: colour.text, usePointStyle: isLine, boxWidth: 9, boxHeight: 9 },
          },
          tooltip: {
            callbacks: {
              label: (item) =>
                `${item.dataset.label}: ${value(item.parsed.y)}`,
            },
          },
        },
      },
    });
  };

  let charts = [];
  const drawAll = () => {
    charts.forEach((chart) => chart.destroy());
    charts = [...document.querySelectorAll("[data-bm-chart]")].map(draw).filter(Boolean);
  };
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => charts.forEach((chart) => chart.resize()));
})();
