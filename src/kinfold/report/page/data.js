// The data of the page: one JSON text with typed arrays in base64, made by document.py.
const data = JSON.parse(document.getElementById("payload").textContent);
const n = data.n;

function bytes(text) {
  const raw = atob(text);
  const array = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) array[i] = raw.charCodeAt(i);
  return array;
}
// Little-endian on every machine a browser runs on.
const u16 = (text) => new Uint16Array(bytes(text).buffer);
const u32 = (text) => new Uint32Array(bytes(text).buffer);

const images = {
  x: u16(data.x), y: u16(data.y), confidence: u16(data.confidence), outlier: u16(data.outlier),
  rank: u32(data.rank), labels: u16(data.labels), copyOf: new Map(data.copies),
  truth: data.truth && u16(data.truth.labels),
};
const nameOf = (i) => (data.names ? data.names[i] : String(i));
const confidenceOf = (i) => images.confidence[i] / 65535;
const outlierOf = (i) => images.outlier[i] / 65535;

// The orders in which galleries take images.
const sorted = (key) => Uint32Array.from({length: n}, (_, i) => i).sort((a, b) => key(a) - key(b) || a - b);
const orders = {
  typical: sorted((i) => images.rank[i]),
  unsure: sorted((i) => images.confidence[i]),
  odd: sorted((i) => -images.outlier[i]),
};

const byId = (id) => document.getElementById(id);
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`;

// Names come from files: they are only ever set as text, never as markup.
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
const shade = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// What is shown now. `clusters` is indexed by `labels[i]`; `focus` is one cluster or null; `matches` a set of images or null.
const now = {k: 0, labels: images.labels, clusters: [], focus: null, matches: null};
const listeners = [];
const onCut = (listener) => listeners.push(listener);
