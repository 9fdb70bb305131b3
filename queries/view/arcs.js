// The data of the page, and the arcs of a head. Text from data is set as textContent, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const { colours, shape: [layers, heads] } = data;
const length = data.letters.length;
const KINDS = [
  { key: "1", name: "contact", colour: colours.contact },
  { key: "0", name: "not a contact", colour: colours.other },
  { key: "?", name: "contact unknown", colour: colours.unknown },
];
const MOST_CYLINDERS = 1000, MOST_ROWS = 100, BEST = 6;
const state = {
  head: data.head[0] * heads + data.head[1], threshold: data.threshold, separation: data.separation,
  hidden: new Set(), property: "", spin: false, marked: null,
};

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") Object.assign(element.style, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const percent = (part, whole) => (whole ? `${(100 * part / whole).toFixed(0)}%` : "–");
const weightText = (thousandths) => (thousandths / 1000).toFixed(thousandths % 10 ? 3 : 2);
const headName = (place) => `${Math.floor(place / heads)}-${place % heads}`;
const residueName = (i) => data.letters[i] + (data.numbers[i] || i) + (data.numbers[i] ? ` (position ${i})` : "");
const shortName = (i) => data.letters[i] + (data.numbers[i] || i);

function distance(points, i, j) {
  const [a, b] = [points[i], points[j]];
  return a && b ? Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) : null;
}

// Arcs of a head lie by falling weight: those that reach a threshold come first.
function reaching(weights, threshold) {
  let low = 0, high = weights.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (weights[middle] >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

function counts(place) {
  const [sources, targets, weights, contact] = data.arcs[place];
  const found = { arcs: 0, contacts: 0, known: 0 };
  for (let k = 0, end = reaching(weights, state.threshold); k < end; k++) {
    if (Math.abs(sources[k] - targets[k]) < state.separation) continue;
    found.arcs++;
    if (contact[k] !== "?") found.known++;
    if (contact[k] === "1") found.contacts++;
  }
  return found;
}

// The lower end of the 95 % Wilson interval, by which a share of few arcs does not count for much.
function wilsonLow({ contacts, known }) {
  if (!contacts) return 0;
  const z = 1.96, share = contacts / known;
  const spread = z * Math.sqrt(share * (1 - share) / known + z * z / (4 * known * known));
  return (share + z * z / (2 * known) - spread) / (1 + z * z / known);
}

// Unordered pairs of the head shown, with the weight of each direction in thousandths, by falling larger weight.
function pairsShown() {
  const [sources, targets, weights, contact] = data.arcs[state.head];
  const pairs = new Map();
  for (let k = 0, end = reaching(weights, state.threshold); k < end; k++) {
    const [i, j] = [sources[k], targets[k]];
    if (Math.abs(i - j) < state.separation || state.hidden.has(contact[k])) continue;
    const key = Math.min(i, j) * length + Math.max(i, j);
    if (pairs.has(key)) pairs.get(key).back = weights[k];
    else pairs.set(key, { source: i, target: j, weight: weights[k], back: 0, contact: contact[k] });
  }
  return [...pairs.values()];
}

const kindOf = (pair) => KINDS.find((kind) => kind.key === pair.contact);

function describe(pair) {
  const apart = Math.abs(pair.source - pair.target), far = distance(data.cb, pair.source, pair.target);
  return [
    `${residueName(pair.source)} → ${residueName(pair.target)}: ${weightText(pair.weight)}`,
    pair.back ? `reverse: ${weightText(pair.back)}` : "",
    `${apart} apart${far === null ? "" : `, Cβ ${far.toFixed(1)} Å`}: ${kindOf(pair).name}`,
  ].filter(Boolean).join("\n");
}
