// The slider, the search, the table, the theme; then everything starts.
const slider = byId("k");
let wantedCut = null;

// Dragging asks for more cuts than can be drawn: only the latest is.
function setCut(k) {
  if (slider) slider.value = k;
  if (byId("k-now")) byId("k-now").textContent = k;
  if (byId("reset")) byId("reset").disabled = k === chosen;
  if (wantedCut === null) requestAnimationFrame(() => {
    const wanted = wantedCut;
    wantedCut = null;
    if (wanted !== now.k) cutAt(wanted);
  });
  wantedCut = k;
}
if (slider) {
  slider.addEventListener("input", () => setCut(Number(slider.value)));
  byId("reset").onclick = () => setCut(chosen);
  const share = (chosen - tree.end) / (tree.leaves - tree.end || 1);
  byId("notch").style.left = `calc(10px + ${share} * (100% - 20px))`;
}
byId("order").addEventListener("change", drawCards);

// Search: every match lights up on the map, the first ones are listed with their picture.
const search = byId("search");
const found = byId("found");
const LISTED = 30;

function find() {
  const wanted = search.value.trim().toLocaleLowerCase();
  now.matches = null;
  if (wanted) {
    now.matches = new Set();
    for (let i = 0; i < n; i++) if (nameOf(i).toLocaleLowerCase().includes(wanted)) now.matches.add(i);
  }
  listFound();
  for (const tile of document.querySelectorAll("button.thumb")) tile.classList.toggle("hit", now.matches?.has(Number(tile.dataset.image)) ?? false);
  redraw();
}

function listFound() {
  found.hidden = now.matches === null;
  if (!now.matches) return;
  const total = now.matches.size;
  const status = element("p", "small", total === 0 ? "No file name holds this text." : `${count(total, "image")}${total > LISTED ? `, the first ${LISTED} listed` : ""}; ${total === 1 ? "it is" : "they are"} marked on the map.`);
  status.setAttribute("role", "status");
  const hits = [...now.matches].slice(0, LISTED).map((i) => {
    const hit = element("button", "hit");
    hit.type = "button";
    const words = element("span", "", nameOf(i));
    words.append(element("small", "", `${called(now.clusters[now.labels[i]])} · confidence ${confidenceOf(i).toFixed(2)}`));
    hit.append(paint(element("div", "thumb"), i), words);
    hit.onclick = () => view(i);
    return hit;
  });
  found.replaceChildren(status, ...hits);
}
search.addEventListener("input", find);
search.addEventListener("focus", () => { found.hidden = now.matches === null; });
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && now.matches?.size) view([...now.matches][0]);
  if (event.key === "ArrowDown") found.querySelector(".hit")?.focus();
});
byId("bar").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !now.matches) return;
  search.value = "";
  find();
  search.focus();
});
// The marks stay while the reader looks at the map; only the list goes away.
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".find, dialog")) found.hidden = true;
});
onCut(listFoundIfOpen);
renamed.push(listFoundIfOpen);
function listFoundIfOpen() { if (!found.hidden) listFound(); }

// The table at this cut, in the columns of labels.csv.
function tableText() {
  const named = now.clusters.some(nameOfCluster);
  const header = ["image", "cluster", ...(named ? ["name"] : []), "confidence", "outlier", "duplicate_of", ...(images.truth ? ["label"] : [])];
  const lines = [header.join(",")];
  for (let i = 0; i < n; i++) {
    const cluster = now.clusters[now.labels[i]];
    const row = [quoted(nameOf(i)), cluster.id, ...(named ? [quoted(nameOfCluster(cluster))] : []), confidenceOf(i).toFixed(4), outlierOf(i).toFixed(4),
      images.copyOf.get(i) ?? ""];
    if (images.truth) row.push(data.truth.values[images.truth[i]]);
    lines.push(row.join(","));
  }
  return lines.join("\n") + "\n";
}
byId("download").onclick = () => save(tableText(), `labels-${now.k}.csv`);

// Theme: as the system, light, dark. A page opened from disk may not be allowed to remember it.
const themes = ["auto", "light", "dark"];
const themeWords = {auto: "as the system", light: "light", dark: "dark"};
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
  byId("theme").dataset.now = theme;
  byId("theme").querySelector("span").textContent = theme[0].toUpperCase() + theme.slice(1);
  byId("theme").setAttribute("aria-label", `Colour theme: ${themeWords[theme]}`);
  try { localStorage.setItem("kinfold-theme", theme); } catch { /* not remembered then */ }
  restyle();
}
function restyle() {
  readShades();
  redraw();
  if (now.k) drawConfusion();
}
byId("theme").onclick = () => setTheme(themes[(themes.indexOf(byId("theme").dataset.now) + 1) % themes.length]);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);

let remembered = "auto";
try { remembered = localStorage.getItem("kinfold-theme") || "auto"; } catch { /* not allowed: as the system */ }
indexCells();
cutAt(chosen);
setTheme(themes.includes(remembered) ? remembered : "auto");
new ResizeObserver(resize).observe(canvas);
if (svg) new ResizeObserver(drawTree).observe(svg);
if (confusion) new ResizeObserver(drawConfusion).observe(confusion.closest(".panel"));
document.documentElement.dataset.ready = "yes";
