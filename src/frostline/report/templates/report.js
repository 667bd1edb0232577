"use strict";
const number = text => parseFloat(text.replace(/[^\d.eE+-].*$/, ""));
for (const table of document.querySelectorAll(".sortable")) {
  table.querySelectorAll("th").forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("thead th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const compare = (a, b) => {
        const [x, y] = [a, b].map(row => row.cells[column].textContent.trim());
        const [m, n] = [number(x), number(y)];
        return Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => up ? compare(a, b) : compare(b, a));
      table.tBodies[0].append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
const filter = document.getElementById("filter"), all = document.getElementById("all-runs");
const names = [...all.querySelectorAll("thead th")].map(head => head.textContent);
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  let shown = 0;
  for (const row of all.querySelectorAll("tbody tr")) {
    const common = all.dataset.common.replaceAll("|", "\n").toLowerCase();
    const text = common + [...row.cells].map((cell, i) => `${names[i]}=${cell.textContent}`).join("\n").toLowerCase() + "\n";
    row.hidden = !words.every(word => word.includes("=") ? text.includes(`${word}\n`) : text.includes(word));
    shown += !row.hidden;
  }
  document.getElementById("shown").textContent = words.length ? `${shown} shown` : "";
});
const probe = document.body.appendChild(document.createElement("i"));
const colour = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
const paint = () => {
  for (const plot of document.querySelectorAll(".live .js-plotly-plot")) {
    plot.data.forEach((trace, i) => {
      const own = colour(trace.meta.colour);
      Plotly.restyle(plot, { "marker.color": own, "line.color": own, "error_y.color": own }, [i]);
    });
    const line = colour("line"), ink = colour("ink");
    Plotly.relayout(plot, { "font.color": ink, "xaxis.gridcolor": line, "yaxis.gridcolor": line,
      "xaxis.linecolor": line, "hoverlabel.bgcolor": colour("paper"), "hoverlabel.font.color": ink });
  }
};
if (window.Plotly) {
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  addEventListener("beforeprint", paint);
}
