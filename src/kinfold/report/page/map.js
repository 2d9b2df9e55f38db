// The map: all images on one canvas, as dots or as pictures.
const canvas = byId("canvas");
const pen = canvas.getContext("2d");
const tip = byId("tip");
const CELLS = 128;
const PAD = 26;
const LONGEST_PLACE = 16; // letters of a name on the map
const frame = {width: 0, height: 0, zoom: 1, x: 0, y: 0, pictures: false, side: 1, hover: -1, lone: -1};
let grouped = new Uint32Array(0);
let starts = [];
let cells = null;
let pending = false;

// Images by cell of a fixed grid, to find the one under the pointer.
function indexCells() {
  const first = new Uint32Array(CELLS * CELLS + 1);
  const cell = (i) => (images.y[i] >> 9) * CELLS + (images.x[i] >> 9);
  for (let i = 0; i < n; i++) first[cell(i) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) first[c + 1] += first[c];
  const next = first.slice();
  const list = new Uint32Array(n);
  for (let i = 0; i < n; i++) list[next[cell(i)]++] = i;
  cells = {first, list};
}

// Images by cluster, so that a colour is set once a cluster.
function groupByCluster() {
  starts = new Uint32Array(now.k + 1);
  for (let i = 0; i < n; i++) starts[now.labels[i] + 1]++;
  for (let p = 0; p < now.k; p++) starts[p + 1] += starts[p];
  const next = starts.slice();
  grouped = new Uint32Array(n);
  for (let i = 0; i < n; i++) grouped[next[now.labels[i]]++] = i;
}

function resize() {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  frame.width = box.width;
  frame.height = box.height;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  // The proportions of the layout mean little: a wide panel is used up to half as wide again as high.
  const narrow = Math.max(40, Math.min(box.width, box.height) - 2 * PAD);
  frame.sx = Math.max(40, Math.min(box.width - 2 * PAD, 1.5 * narrow));
  frame.sy = Math.max(40, Math.min(box.height - 2 * PAD, 1.5 * narrow));
  redraw();
}
const screenX = (i) => frame.width / 2 + ((images.x[i] / 65535 - 0.5) * frame.sx + frame.x) * frame.zoom;
const screenY = (i) => frame.height / 2 + ((images.y[i] / 65535 - 0.5) * frame.sy + frame.y) * frame.zoom;

function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; draw(); });
}
renamed.push(redraw);

// Search results win over a chosen cluster: they were asked for last and are few.
const isLit = (i) => (now.matches ? now.matches.has(i) : now.focus === null || now.labels[i] === now.focus);

function draw() {
  pen.clearRect(0, 0, frame.width, frame.height);
  if (frame.pictures) drawPictures(); else drawDots();
  drawPlaces();
  if (frame.lone >= 0) ring(frame.lone, 9);
  if (frame.hover >= 0 && frame.hover !== frame.lone) ring(frame.hover, 7);
}

function dotSide() {
  const base = n > 20000 ? 1.7 : n > 5000 ? 2.6 : n > 1200 ? 4 : 6;
  return Math.min(10, base * Math.sqrt(frame.zoom));
}

function drawDots() {
  const side = dotSide();
  const dimmed = now.matches !== null || now.focus !== null;
  const passes = dimmed ? [false, true] : [true];
  for (const lit of passes) {
    for (let p = 0; p < now.k; p++) {
      pen.fillStyle = lit ? now.clusters[p].colour : shadeFaded;
      pen.globalAlpha = lit ? 0.82 : 0.6;
      const size = lit && now.matches ? side * 1.6 + 1 : side;
      pen.beginPath();
      for (let t = starts[p]; t < starts[p + 1]; t++) {
        const i = grouped[t];
        if (dimmed && isLit(i) !== lit) continue;
        const x = screenX(i);
        const y = screenY(i);
        if (x < -9 || y < -9 || x > frame.width + 9 || y > frame.height + 9) continue;
        if (size > 3) { pen.moveTo(x + size / 2, y); pen.arc(x, y, size / 2, 0, 6.2832); } else pen.rect(x - size / 2, y - size / 2, size, size);
      }
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}

// One picture a cell, the most typical image of the cell; cells move with the map.
function pictureCells() {
  const height = 36 / Math.sqrt(tileRatio);
  const width = height * tileRatio;
  const taken = new Map();
  const originX = frame.width / 2 + frame.x * frame.zoom;
  const originY = frame.height / 2 + frame.y * frame.zoom;
  const consider = (i) => {
    if (!hasTile(i)) return;
    const x = screenX(i);
    const y = screenY(i);
    if (x < -width || y < -height || x > frame.width + width || y > frame.height + height) return;
    const column = Math.floor((x - originX) / width);
    const row = Math.floor((y - originY) / height);
    const key = `${column},${row}`;
    if (!taken.has(key)) taken.set(key, {i, x: originX + column * width, y: originY + row * height});
  };
  if (now.matches) for (const i of now.matches) consider(i);
  for (const i of orders.typical) consider(i);
  return {width, height, taken};
}

function drawPictures() {
  const {width, height, taken} = pictureCells();
  for (const {i, x, y} of taken.values()) {
    pen.globalAlpha = isLit(i) ? 1 : 0.13;
    pen.fillStyle = now.clusters[now.labels[i]].colour;
    pen.fillRect(x + 0.5, y + 0.5, width - 1, height - 1);
    drawTile(pen, i, x + 2.5, y + 2.5, width - 5, height - 5, redraw);
  }
  pen.globalAlpha = 1;
  frame.cells = taken;
}

// Where a cluster is: its number, or the name it was given, on its most typical image.
function drawPlaces() {
  if (now.k > 60 || now.matches) return;
  pen.font = `600 12.5px ${shade("--sans")}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  now.clusters.forEach((cluster, p) => {
    if (!cluster.typical.length || (now.focus !== null && now.focus !== p)) return;
    const name = nameOfCluster(cluster);
    const text = name.length > LONGEST_PLACE ? `${name.slice(0, LONGEST_PLACE - 1).trimEnd()}…` : name || String(cluster.id);
    const half = Math.max(11, pen.measureText(text).width / 2 + 6);
    const seen = screenX(cluster.typical[0]);
    const inside = seen >= 0 && seen <= frame.width; // a name at the edge moves in, one outside stays outside
    const x = inside ? Math.max(half + 1, Math.min(frame.width - half - 1, seen)) : seen;
    const y = screenY(cluster.typical[0]);
    pen.beginPath();
    pen.roundRect(x - half, y - 11, 2 * half, 22, 11);
    pen.fillStyle = shadePanel;
    pen.fill();
    pen.lineWidth = 2;
    pen.strokeStyle = cluster.colour;
    pen.stroke();
    pen.fillStyle = shadeInk;
    pen.fillText(text, x, y + 0.5);
  });
}

function ring(i, radius) {
  pen.beginPath();
  pen.arc(screenX(i), screenY(i), radius, 0, 6.2832);
  pen.lineWidth = 2.5;
  pen.strokeStyle = shadeInk;
  pen.stroke();
}

let shadeInk, shadePanel, shadeFaded;
function readShades() {
  [shadeInk, shadePanel, shadeFaded] = ["--ink", "--panel", "--faded"].map(shade);
}

function imageAt(x, y) {
  let best = -1;
  let nearest = 15 ** 2;
  if (frame.pictures) {
    const {width, height, taken} = pictureCells();
    for (const cell of taken.values()) if (x >= cell.x && x < cell.x + width && y >= cell.y && y < cell.y + height) return cell.i;
  }
  const unit = (pixel, middle, shift, side) => ((pixel - middle) / frame.zoom - shift) / side + 0.5;
  const reach = 15 / frame.zoom;
  const cu = unit(x, frame.width / 2, frame.x, frame.sx);
  const cv = unit(y, frame.height / 2, frame.y, frame.sy);
  const bound = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor(value * CELLS)));
  for (let row = bound(cv - reach / frame.sy); row <= bound(cv + reach / frame.sy); row++) {
    for (let column = bound(cu - reach / frame.sx); column <= bound(cu + reach / frame.sx); column++) {
      const cell = row * CELLS + column;
      for (let t = cells.first[cell]; t < cells.first[cell + 1]; t++) {
        const i = cells.list[t];
        if ((now.matches || now.focus !== null) && !isLit(i)) continue;
        const distance = (screenX(i) - x) ** 2 + (screenY(i) - y) ** 2;
        if (distance < nearest) { nearest = distance; best = i; }
      }
    }
  }
  return best;
}

function showTip(i, x, y) {
  frame.hover = i;
  tip.hidden = i < 0;
  canvas.dataset.hover = i;
  redraw();
  if (i < 0) return;
  const cluster = now.clusters[now.labels[i]];
  const line = element("span", "", `${called(cluster)} · confidence ${confidenceOf(i).toFixed(2)}`);
  const parts = [element("b", "", nameOf(i)), line];
  if (hasTile(i)) parts.unshift(paint(element("div", "thumb"), i, true));
  else if (hasSheets) parts.push(element("span", "muted", " · no thumbnail in this page"));
  tip.replaceChildren(...parts);
  const left = x + 18 + 176 > frame.width ? x - 18 - 176 : x + 18;
  tip.style.left = `${Math.max(0, Math.min(frame.width - 176, left))}px`;
  tip.style.top = `${Math.max(-8, Math.min(frame.height - tip.offsetHeight, y - 40))}px`;
}

function zoomBy(factor, x = frame.width / 2, y = frame.height / 2) {
  const zoom = Math.max(1, Math.min(60, frame.zoom * factor));
  frame.x += (x - frame.width / 2) * (1 / zoom - 1 / frame.zoom);
  frame.y += (y - frame.height / 2) * (1 / zoom - 1 / frame.zoom);
  frame.zoom = zoom;
  settle();
}
function settle() {
  const slack = 1 - 1 / frame.zoom;
  frame.x = Math.max(-0.5 * frame.sx * slack - 40, Math.min(0.5 * frame.sx * slack + 40, frame.x));
  frame.y = Math.max(-0.5 * frame.sy * slack - 40, Math.min(0.5 * frame.sy * slack + 40, frame.y));
  canvas.classList.toggle("zoomed", frame.zoom > 1);
  redraw();
}
function showEverything() {
  Object.assign(frame, {zoom: 1, x: 0, y: 0, lone: -1});
  now.focus = null;
  settle();
}
function focusOn(p) {
  Object.assign(frame, {zoom: 1, x: 0, y: 0, lone: -1});
  now.focus = p;
  settle();
  byId("map").scrollIntoView({block: "start"});
}
function showOnMap(i) {
  now.focus = null;
  frame.lone = i;
  frame.zoom = Math.max(frame.zoom, 2.5);
  frame.x = -(images.x[i] / 65535 - 0.5) * frame.sx;
  frame.y = -(images.y[i] / 65535 - 0.5) * frame.sy;
  settle();
  byId("map").scrollIntoView({block: "start"});
}

// Pointers: one drags, two pinch, a short press without movement chooses.
const pointers = new Map();
let moved = false;
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return {x: event.clientX - box.left, y: event.clientY - box.top};
};
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
  if (pointers.size === 1) moved = false;
});
canvas.addEventListener("pointermove", (event) => {
  const here = at(event);
  const last = pointers.get(event.pointerId);
  if (!last) {
    if (event.pointerType === "mouse") showTip(imageAt(here.x, here.y), here.x, here.y);
    return;
  }
  if (!moved && Math.hypot(here.x - last.x, here.y - last.y) < 4) return;
  moved = true;
  showTip(-1);
  if (pointers.size === 2) {
    const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
    const before = Math.hypot(last.x - other.x, last.y - other.y) || 1;
    zoomBy(Math.hypot(here.x - other.x, here.y - other.y) / before, (here.x + other.x) / 2, (here.y + other.y) / 2);
  } else if (event.pointerType === "mouse" || frame.zoom > 1) {
    canvas.classList.add("moving");
    frame.x += (here.x - last.x) / frame.zoom;
    frame.y += (here.y - last.y) / frame.zoom;
    settle();
  }
  pointers.set(event.pointerId, here);
});
function release(event) {
  canvas.classList.remove("moving");
  if (!pointers.delete(event.pointerId) || moved || event.type !== "pointerup") return;
  const here = at(event);
  const i = imageAt(here.x, here.y);
  if (i < 0) {
    now.focus = null;
    frame.lone = -1;
    redraw();
  } else if (event.pointerType === "mouse") {
    showTip(-1);
    goToCluster(now.labels[i]);
  } else {
    view(i); // a finger hides what it points at
  }
}
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => showTip(-1));
let hintTimer = 0;
canvas.addEventListener("wheel", (event) => {
  // Without a key the wheel belongs to the page: a map must not trap the reader.
  if (!event.ctrlKey && !event.metaKey) {
    const hint = byId("hint");
    hint.textContent = /Mac/.test(navigator.platform) ? "Hold ⌘ and scroll to zoom" : "Hold Ctrl and scroll to zoom";
    hint.hidden = false;
    clearTimeout(hintTimer);
    hintTimer = setTimeout(() => { hint.hidden = true; }, 900);
    return;
  }
  event.preventDefault();
  const here = at(event);
  zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025)), here.x, here.y);
}, {passive: false});
canvas.addEventListener("keydown", (event) => {
  const move = {ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
  if (move && frame.zoom > 1) {
    frame.x += (move[0] * 60) / frame.zoom;
    frame.y += (move[1] * 60) / frame.zoom;
    settle();
  } else if (event.key === "+" || event.key === "=") zoomBy(1.4);
  else if (event.key === "-") zoomBy(1 / 1.4);
  else if (event.key === "0" || event.key === "Escape") showEverything();
  else return;
  event.preventDefault();
});
byId("zoom-in").onclick = () => zoomBy(1.6);
byId("zoom-out").onclick = () => zoomBy(1 / 1.6);
byId("zoom-all").onclick = showEverything;

function drawAs(pictures) {
  frame.pictures = pictures;
  byId("as-pictures").setAttribute("aria-pressed", pictures);
  byId("as-dots").setAttribute("aria-pressed", !pictures);
  redraw();
}
if (byId("as-pictures")) {
  byId("as-pictures").onclick = () => drawAs(true);
  byId("as-dots").onclick = () => drawAs(false);
}
onCut(() => {
  groupByCluster();
  showTip(-1);
});
