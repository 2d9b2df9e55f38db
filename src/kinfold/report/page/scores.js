// Against known labels: the table of classes and clusters at the cut shown, and what follows from it.
const confusion = byId("confusion");
let table = null;

function crossTable() {
  const classes = data.truth.names.length;
  const counts = Array.from({length: classes}, () => new Float64Array(now.k));
  for (let i = 0; i < n; i++) counts[images.truth[i]][now.labels[i]]++;
  const main = now.clusters.map((_, p) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if (counts[c][p] > counts[best][p]) best = c;
    return best;
  });
  // Clusters stand under their main class, so that agreement is a diagonal.
  const columns = now.clusters.map((_, p) => p).sort((a, b) => main[a] - main[b] || counts[main[b]][b] - counts[main[a]][a]);
  return {counts, columns, main, totals: counts.map((row) => row.reduce((sum, value) => sum + value, 0))};
}

function liveScores({counts, totals, main}) {
  const sizes = now.clusters.map((cluster) => cluster.size);
  const entropy = (list) => list.reduce((sum, value) => (value ? sum - (value / n) * Math.log(value / n) : sum), 0);
  const pairs = (value) => (value * (value - 1)) / 2;
  let mutual = 0;
  let both = 0;
  let pure = 0;
  counts.forEach((row, c) => row.forEach((value, p) => {
    if (value) mutual += (value / n) * Math.log((value * n) / (totals[c] * sizes[p]));
    both += pairs(value);
    if (main[p] === c) pure += value;
  }));
  const scale = Math.sqrt(entropy(totals) * entropy(sizes));
  const [a, b] = [totals, sizes].map((list) => list.reduce((sum, value) => sum + pairs(value), 0));
  const expected = n > 1 ? (a * b) / pairs(n) : 0;
  const range = (a + b) / 2 - expected;
  return {nmi: scale > 0 ? Math.max(0, mutual / scale) : entropy(totals) === entropy(sizes) ? 1 : 0, ari: range ? (both - expected) / range : 1, purity: pure / n};
}

function drawConfusion() {
  if (!confusion) return;
  table = crossTable();
  const scores = liveScores(table);
  for (const [name, value] of Object.entries(scores)) byId(`live-${name}`).textContent = value.toFixed(4);
  const names = data.truth.names;
  const rows = names.length;
  const room = confusion.parentElement.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  pen2.font = `12px ${shade("--sans")}`;
  const label = Math.min(150, 12 + Math.max(...names.map((name) => pen2.measureText(name).width)));
  const cell = Math.max(4, Math.min(42, (room - label - 4) / now.k));
  const high = Math.max(5, Math.min(cell, 34, 620 / rows));
  const head = cell >= 15 ? 22 : 6;
  const width = label + now.k * cell;
  const height = head + rows * high + 2;
  Object.assign(table, {label, cell, high, head});
  confusion.width = width * ratio;
  confusion.height = height * ratio;
  confusion.style.width = `${width}px`;
  confusion.style.height = `${height}px`;
  pen2.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen2.clearRect(0, 0, width, height);
  pen2.font = `12px ${shade("--sans")}`;
  pen2.textBaseline = "middle";
  const [ink, muted, panel, wash, accent] = ["--ink", "--muted", "--panel", "--wash", "--accent"].map(shade);
  table.columns.forEach((p, column) => {
    if (cell < 15) return;
    pen2.fillStyle = muted;
    pen2.textAlign = "center";
    pen2.fillText(now.clusters[p].id, label + (column + 0.5) * cell, head / 2);
  });
  for (let c = 0; c < rows; c++) {
    const y = head + c * high;
    if (high >= 11) {
      pen2.fillStyle = muted;
      pen2.textAlign = "right";
      pen2.fillText(shorten(names[c], label - 12), label - 8, y + high / 2);
    }
    table.columns.forEach((p, column) => {
      const share = table.counts[c][p] / (table.totals[c] || 1);
      const x = label + column * cell;
      const gap = cell > 8 ? 1 : 0;
      pen2.fillStyle = wash;
      pen2.fillRect(x, y, cell - gap, high - gap);
      if (!share) return;
      pen2.globalAlpha = 0.12 + 0.88 * Math.sqrt(share);
      pen2.fillStyle = accent;
      pen2.fillRect(x, y, cell - gap, high - gap);
      pen2.globalAlpha = 1;
      const text = String(table.counts[c][p]);
      if (cell < 22 || pen2.measureText(text).width > cell - 4) return;
      pen2.fillStyle = share > 0.3 ? panel : ink;
      pen2.textAlign = "center";
      pen2.fillText(text, x + (cell - gap) / 2, y + (high - gap) / 2 + 0.5);
    });
  }
  confusion.setAttribute("aria-label", `Confusion matrix of ${rows} known classes and ${now.k} clusters; purity ${percent(scores.purity)}.`);
}
const pen2 = confusion?.getContext("2d");

function shorten(text, room) {
  let short = text;
  while (short.length > 1 && pen2.measureText(short + "…").width > room) short = short.slice(0, -1);
  return short === text || pen2.measureText(text).width <= room ? text : short + "…";
}

if (confusion) {
  const rest = byId("confusion-words").textContent;
  const cellAt = (event) => {
    const box = confusion.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - table.label) / table.cell);
    const row = Math.floor((event.clientY - box.top - table.head) / table.high);
    return column >= 0 && column < now.k && row >= 0 && row < table.counts.length ? {c: row, p: table.columns[column]} : null;
  };
  confusion.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    byId("confusion-words").textContent = cell
      ? `${count(table.counts[cell.c][cell.p], "image")} of class ${data.truth.names[cell.c]} in ${nameOfCluster(now.clusters[cell.p]) || `cluster ${now.clusters[cell.p].id}`}: ${percent(table.counts[cell.c][cell.p] / table.totals[cell.c])} of the class.`
      : rest;
  });
  confusion.addEventListener("pointerleave", () => { byId("confusion-words").textContent = rest; });
  confusion.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) goToCluster(cell.p);
  });
  onCut(drawConfusion);
}

// Training curves: the value of the round under the pointer.
for (const figure of document.querySelectorAll(".curve")) {
  const [rounds, values] = data.curves[figure.dataset.curve];
  const last = figure.querySelector("b");
  const cursor = figure.querySelector(".cursor");
  const drawing = figure.querySelector("svg");
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const wanted = rounds[0] + ((event.clientX - box.left) / box.width) * (rounds[rounds.length - 1] - rounds[0]);
    let best = 0;
    rounds.forEach((round, t) => { if (Math.abs(round - wanted) < Math.abs(rounds[best] - wanted)) best = t; });
    const x = (100 * (rounds[best] - rounds[0])) / (rounds[rounds.length - 1] - rounds[0] || 1);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    last.textContent = `round ${rounds[best]}: ${Number(values[best].toPrecision(4)).toLocaleString("en", {maximumSignificantDigits: 4})}`;
  });
  drawing.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    last.textContent = last.dataset.last;
  });
}
