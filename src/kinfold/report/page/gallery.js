// Galleries: one card a cluster, filled when it comes near the window.
const cards = byId("cards");
const cardOf = new Map();
const filler = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    filler.unobserve(entry.target);
    fill(entry.target);
  }
}, {rootMargin: "700px"});

function fill(card) {
  if (card.dataset.filled) return;
  card.dataset.filled = "yes";
  const cluster = now.clusters[Number(card.dataset.cluster)];
  const strips = [["Most typical", cluster.typical], ["Least certain", cluster.unsure], ["Outliers", cluster.odd]];
  const body = card.querySelector(".strips");
  for (const [title, list] of strips) {
    if (!list.length) continue;
    const strip = element("div", "strip");
    strip.append(element("h4", "", title), tiles(list, true));
    body.append(strip);
  }
  body.style.minHeight = "";
}

function makeCard(cluster, p) {
  const card = element("article", "card");
  card.dataset.cluster = p;
  card.id = `cluster-${p}`;
  const header = element("header");
  const dot = element("span", "dot");
  dot.style.background = cluster.colour;
  const [title, field] = heading(cluster, p);
  card.setAttribute("aria-labelledby", title.id);
  header.append(dot, title, field, element("span", "count", `${count(cluster.size, "image")} · ${percent(cluster.size / n)}`));
  const meter = element("div", "meter");
  const gauge = element("i");
  const level = element("b");
  level.style.width = `${100 * cluster.confidence}%`;
  level.style.background = cluster.colour;
  gauge.append(level);
  meter.append(element("span", "", "Confidence"), gauge, element("span", "", cluster.confidence.toFixed(2)));
  const footer = element("footer");
  const all = element("button", "quiet", cluster.size > 1 ? `Show all ${cluster.size.toLocaleString("en")}` : "Show");
  const map = element("button", "quiet", "Show on the map");
  all.type = map.type = "button";
  all.onclick = () => showAll(p);
  map.onclick = () => focusOn(p);
  footer.append(all, map);
  card.append(header, meter, element("div", "strips"), footer);
  return card;
}

const byOrder = {
  size: (a, b) => now.clusters[b].size - now.clusters[a].size,
  unsure: (a, b) => now.clusters[a].confidence - now.clusters[b].confidence,
  sure: (a, b) => now.clusters[b].confidence - now.clusters[a].confidence,
  number: (a, b) => now.clusters[a].id - now.clusters[b].id,
};

function drawCards() {
  filler.disconnect();
  cardOf.clear();
  const order = now.clusters.map((_, p) => p).sort(byOrder[byId("order").value]);
  cards.style.setProperty("--card", now.k <= 4 ? "540px" : "372px");
  cards.replaceChildren(...order.map((p) => {
    const card = makeCard(now.clusters[p], p);
    cardOf.set(p, card);
    return card;
  }));
  for (const card of cardOf.values()) filler.observe(card);
  const sizes = now.clusters.map((cluster) => cluster.size);
  reserve();
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const words = [`${count(now.k, "cluster")} of ${least < most ? `${least.toLocaleString("en")} to ` : ""}${count(most, "image")}.`];
  if (now.k !== chosen) words.push(`Confidence and outliers are those of the run, at ${chosen}.`);
  byId("clusters-words").textContent = words.join(" ");
}
onCut(drawCards);

// Room for tiles that are not there yet, so that jumping to a card further down lands where it should.
function reserve() {
  const body = cards.querySelector(".strips");
  if (!body) return;
  const tile = (body.clientWidth - 5 * 6) / 6 / tileRatio;
  for (const [p, card] of cardOf) {
    const {typical, unsure, odd} = now.clusters[p];
    const rows = Math.ceil(typical.length / 6) + (unsure.length > 0) + (odd.length > 0);
    const titles = (typical.length > 0) + (unsure.length > 0) + (odd.length > 0);
    card.querySelector(".strips").style.minHeight = `${rows * tile + (rows - titles) * 6 + titles * 39}px`;
  }
}

function goToCluster(p) {
  const card = cardOf.get(p);
  fill(card);
  card.scrollIntoView({block: "start"});
  for (const lit of cards.querySelectorAll(".lit")) lit.classList.remove("lit");
  card.classList.add("lit");
  setTimeout(() => card.classList.remove("lit"), 2600);
  card.querySelector("button.thumb, footer button").focus({preventScroll: true});
}

// Every image of a cluster, most typical first, a few hundred at a time.
const ALL_STEP = 300;
let allOf = [];
let allShown = 0;

function showAll(p) {
  const cluster = now.clusters[p];
  allOf = [...orders.typical].filter((i) => now.labels[i] === p && (!hasSheets || hasTile(i)));
  allShown = 0;
  byId("all-title").textContent = called(cluster);
  byId("all-words").textContent = allOf.length === cluster.size
    ? `${count(cluster.size, "image")}, the most typical first.`
    : `${count(allOf.length, "image")} of ${cluster.size.toLocaleString("en")} have a thumbnail in this page, the most typical first.`;
  byId("all-tiles").replaceChildren();
  moreOfAll();
  byId("all").showModal();
}

function moreOfAll() {
  const more = allOf.slice(allShown, allShown + ALL_STEP);
  byId("all-tiles").append(...more.map((i, p) => tileButton(i, allShown + p === 0)));
  allShown += more.length;
  byId("all-more").hidden = allShown >= allOf.length;
}
byId("all-more").onclick = moreOfAll;
byId("all-close").onclick = () => byId("all").close();

// One image, larger.
function view(i) {
  const cluster = now.clusters[now.labels[i]];
  byId("viewer-picture").replaceChildren(paint(element("div", "thumb"), i, true));
  byId("viewer-name").textContent = nameOf(i);
  const facts = [["Cluster", nameOfCluster(cluster) ? `${nameOfCluster(cluster)} (${cluster.id})` : cluster.id], ["Confidence", confidenceOf(i).toFixed(3)], ["Outlier score", `${outlierOf(i).toFixed(3)}, further from its cluster than ${percent(outlierOf(i))} of all images`]];
  if (images.truth) facts.push(["Known label", data.truth.names[images.truth[i]]]);
  if (images.copyOf.has(i)) facts.push(["Copy of", nameOf(images.copyOf.get(i))]);
  if (hasSheets && !hasTile(i)) facts.push(["Thumbnail", "not in this page, which holds a sample"]);
  byId("viewer-facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
  byId("viewer").dataset.image = i;
  if (!byId("viewer").open) byId("viewer").showModal();
}
function closeDialogs() {
  byId("viewer").close();
  byId("all").close();
  byId("found").hidden = true;
}
byId("viewer-close").onclick = () => byId("viewer").close();
byId("viewer-go").onclick = () => { closeDialogs(); goToCluster(now.labels[Number(byId("viewer").dataset.image)]); };
byId("viewer-map").onclick = () => { closeDialogs(); showOnMap(Number(byId("viewer").dataset.image)); };
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
document.addEventListener("click", (event) => {
  const tile = event.target.closest("button.thumb");
  if (tile) view(Number(tile.dataset.image));
});

const steps = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: "down", ArrowUp: "up"};
document.addEventListener("keydown", (event) => {
  const step = steps[event.key];
  if (!step || !event.target.matches?.(".tiles > .thumb")) return;
  const all = [...event.target.parentElement.children];
  const columns = getComputedStyle(event.target.parentElement).gridTemplateColumns.split(" ").length;
  const by = step === "down" ? columns : step === "up" ? -columns : step;
  const next = all[all.indexOf(event.target) + by];
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

if (byId("copies")) {
  byId("copies").replaceChildren(...data.duplicates.map((group) => {
    const row = element("div");
    const list = element("ul");
    for (const i of group.slice(0, 4)) list.append(element("li", "", nameOf(i)));
    if (group.length > 4) list.append(element("li", "muted", `and ${count(group.length - 4, "other")}`));
    row.append(tileButton(group[0], true), list);
    return row;
  }));
}
