// The merge tree: few clusters on the left, many on the right; branches take the colours of the cut shown.
const svg = byId("dendrogram");
const drawn = {branches: [], x: null, now: null, width: 0};

function svgElement(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function sizesOfNodes() {
  const size = new Float64Array(tree.leaves + tree.merges.length);
  for (let i = 0; i < n; i++) size[tree.base[i]]++;
  tree.merges.forEach(([a, b], t) => { size[tree.leaves + t] = size[a] + size[b]; });
  return size;
}

function leafOrder(size) {
  const isRoot = new Uint8Array(size.length).fill(1);
  for (const pair of tree.merges) for (const node of pair) isRoot[node] = 0;
  const stack = [...size.keys()].filter((node) => isRoot[node]).sort((a, b) => size[a] - size[b]);
  const order = [];
  while (stack.length) {
    const node = stack.pop();
    if (node < tree.leaves) order.push(node);
    else stack.push(...[...tree.merges[node - tree.leaves]].sort((a, b) => size[a] - size[b]));
  }
  return order;
}

function drawTree() {
  if (!svg) return;
  const {width, height} = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [left, right, top, bottom] = [10, width - 12, 8, height - 26];
  const [low, high] = [Math.log(tree.end - 0.5), Math.log(tree.leaves + 0.5)];
  drawn.x = (k) => left + ((Math.log(k) - low) / (high - low)) * (right - left);
  drawn.inverse = (x) => Math.exp(low + ((x - left) / (right - left)) * (high - low));
  const size = sizesOfNodes();
  const y = new Float64Array(size.length);
  const order = leafOrder(size);
  // Half of the height is shared evenly, half by size: small clusters stay visible, large ones look large.
  let used = 0;
  for (const leaf of order) {
    const share = (0.5 / order.length + (0.5 * size[leaf]) / n) * (bottom - top);
    y[leaf] = top + used + share / 2;
    used += share;
  }
  tree.merges.forEach(([a, b], t) => { y[tree.leaves + t] = (y[a] * size[a] + y[b] * size[b]) / (size[a] + size[b]); });
  const born = (node) => (node < tree.leaves ? tree.leaves + 0.5 : tree.leaves - (node - tree.leaves) - 0.5);
  const parts = [];
  for (const k of ticks()) {
    parts.push(svgElement("line", {class: "grid", x1: drawn.x(k), x2: drawn.x(k), y1: top, y2: bottom}));
    parts.push(svgElement("text", {x: drawn.x(k), y: height - 8, "text-anchor": "middle"}, k));
  }
  drawn.branches = [];
  const branch = (node, begin, from) => {
    const path = svgElement("path", {
      class: "branch",
      d: `M${drawn.x(begin).toFixed(1)} ${from.toFixed(1)}V${y[node].toFixed(1)}H${drawn.x(born(node)).toFixed(1)}`,
      "stroke-width": (1 + 6 * Math.sqrt(size[node] / n)).toFixed(2),
    });
    path.append(svgElement("title", {}, count(size[node], "image")));
    drawn.branches.push({node, path});
    parts.push(path);
  };
  for (let t = tree.merges.length - 1; t >= 0; t--) {
    for (const node of tree.merges[t]) branch(node, born(tree.leaves + t), y[tree.leaves + t]);
  }
  const isRoot = new Set([...size.keys()]);
  for (const pair of tree.merges) for (const node of pair) isRoot.delete(node);
  for (const node of isRoot) branch(node, tree.end - 0.5, y[node]);
  parts.push(svgElement("line", {class: "home", x1: drawn.x(chosen), x2: drawn.x(chosen), y1: top - 6, y2: bottom + 6}));
  drawn.now = svgElement("line", {class: "now", y1: top - 6, y2: bottom + 6});
  parts.push(drawn.now);
  svg.replaceChildren(...parts);
  colourTree();
}

function ticks() {
  const all = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300].filter((k) => k >= tree.end && k <= tree.leaves);
  const kept = [];
  for (const k of [chosen, ...all]) {
    if (kept.every((other) => Math.abs(drawn.x(other) - drawn.x(k)) > 24)) kept.push(k);
  }
  return kept;
}

function colourTree() {
  if (!svg || !drawn.now) return;
  const top = nodesAt(now.k);
  const lives = new Map();
  const shades = new Map();
  if (now.k === chosen) {
    // The final labels may differ from the tree's cut; the palette was matched to it.
    for (const node of new Set(tree.base)) shades.set(top[node], data.colours[tree.colour[top[node]]]);
  } else for (const cluster of now.clusters) shades.set(cluster.node, cluster.colour);
  // A branch is coloured when the cluster it belongs to at this cut is itself or an ancestor.
  const parent = new Map();
  tree.merges.forEach((pair, t) => { for (const node of pair) parent.set(node, tree.leaves + t); });
  for (const {node, path} of drawn.branches) {
    let above = node;
    while (above !== undefined && !shades.has(above)) above = lives.get(above) ?? parent.get(above);
    if (above === undefined) path.removeAttribute("style"); else path.style.stroke = shades.get(above);
  }
  const x = drawn.x(now.k);
  drawn.now.setAttribute("x1", x);
  drawn.now.setAttribute("x2", x);
  const words = [];
  const next = tree.leaves - now.k;
  if (next < tree.merges.length) {
    const sizes = tree.merges[next].map((node) => {
      let total = 0;
      for (let i = 0; i < n; i++) if (top[tree.base[i]] === node) total++;
      return total.toLocaleString("en");
    });
    words.push(`One cluster fewer joins two of ${sizes.join(" and ")} images (affinity ${tree.affinity[next].toPrecision(2)}).`);
  }
  const own = data.estimated ? "estimated" : "chosen";
  words.push(now.k === chosen ? `${chosen} is the ${own} number.` : `The dotted line marks the ${own} number, ${chosen}.`);
  byId("cut-words").textContent = words.join(" ");
}

if (svg) {
  const choose = (event) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    setCut(Math.max(tree.end, Math.min(tree.leaves, Math.round(drawn.inverse(x)))));
  };
  let held = false;
  svg.addEventListener("pointerdown", (event) => { held = true; svg.setPointerCapture(event.pointerId); choose(event); });
  svg.addEventListener("pointermove", (event) => { if (held) choose(event); });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { held = false; });
  onCut(colourTree);
}
