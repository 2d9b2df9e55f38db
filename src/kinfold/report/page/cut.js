// Cutting the merge tree: from a number of clusters to the label of every image.
const tree = data.tree && {...data.tree, base: u16(data.tree.base), end: data.tree.leaves - data.tree.merges.length};
const chosen = data.ids.length;

function nodesAt(k) {
  const done = tree.leaves - k;
  const parent = Uint32Array.from({length: tree.leaves + done}, (_, node) => node);
  for (let t = 0; t < done; t++) for (const node of tree.merges[t]) parent[node] = tree.leaves + t;
  for (let node = parent.length - 1; node >= 0; node--) parent[node] = parent[parent[node]];
  return parent;
}

// Clusters of a cut are numbered from the largest to the smallest, ties by first appearance, as Clustering.cut does.
function cutTree(k) {
  const top = nodesAt(k);
  const size = new Map();
  for (let i = 0; i < n; i++) {
    const node = top[tree.base[i]];
    size.set(node, (size.get(node) || 0) + 1);
  }
  const nodes = [...size.keys()].sort((a, b) => size.get(b) - size.get(a)); // stable: ties keep first appearance
  const place = new Map(nodes.map((node, p) => [node, p]));
  const labels = new Uint16Array(n);
  for (let i = 0; i < n; i++) labels[i] = place.get(top[tree.base[i]]);
  return {labels, clusters: nodes.map((node, p) => ({id: p, node, colour: data.colours[tree.colour[node]]}))};
}

function chosenCut() {
  const clusters = data.ids.map((id, p) => ({id, node: null, colour: data.colours[data.colour[p]]}));
  return {labels: images.labels, clusters};
}

function describe({labels, clusters}) {
  const [nTypical, nUnsure, nOdd] = data.shown;
  for (const cluster of clusters) Object.assign(cluster, {size: 0, sum: 0, typical: [], unsure: [], odd: []});
  for (let i = 0; i < n; i++) {
    clusters[labels[i]].size++;
    clusters[labels[i]].sum += confidenceOf(i);
  }
  // A copy of another image would only fill the gallery, and one without a thumbnail cannot be shown.
  const shown = (i) => !images.copyOf.has(i) && (!hasSheets || hasTile(i));
  const take = (order, list, limit) => {
    for (const i of order) {
      const cluster = clusters[labels[i]];
      if (cluster[list].length < limit && shown(i)) {
        if (list === "typical" || !(cluster.typical.includes(i) || cluster.unsure.includes(i))) cluster[list].push(i);
      }
    }
  };
  take(orders.typical, "typical", nTypical);
  take(orders.unsure, "unsure", nUnsure);
  take(orders.odd, "odd", nOdd);
  for (const cluster of clusters) cluster.confidence = cluster.size ? cluster.sum / cluster.size : 0;
}

function cutAt(k) {
  const made = k === chosen || !tree ? chosenCut() : cutTree(k);
  describe(made);
  const focused = now.focus === null ? -1 : now.clusters[now.focus]?.typical[0] ?? -1;
  Object.assign(now, {k: made.clusters.length, labels: made.labels, clusters: made.clusters});
  now.focus = focused >= 0 ? now.labels[focused] : null;
  for (const listener of listeners) listener();
}
