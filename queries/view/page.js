// What is shown, and the controls that change it.

function update() {
  const found = data.arcs.map((_, place) => counts(place)), mine = found[state.head];
  const pairs = pairsShown(), { drawable, drawn } = drawCylinders(pairs);
  drawStrip(pairs);
  $("theta").textContent = weightText(state.threshold);
  $("chosen").textContent = headName(state.head);
  const count = make("b", { id: "cylinders" }, String(drawn));
  const arcs = `Head ${headName(state.head)}: ${mine.arcs} arcs with weight ≥ ${weightText(state.threshold)}`
    + (state.separation ? ` and ends ${state.separation} or more apart` : "");
  const share = mine.known ? `${mine.contacts} of ${mine.known} on contacts (${percent(mine.contacts, mine.known)})`
    : mine.arcs ? "contacts are unknown" : "";
  const lost = [
    drawable > drawn && viewer ? `the strongest of ${drawable}` : "",
    pairs.length > drawable ? `${pairs.length - drawable} without coordinates or of a residue with itself` : "",
  ].filter(Boolean).join("; ");
  $("summary").replaceChildren(
    count, drawn === 1 ? " cylinder" : " cylinders", lost ? ` (${lost})` : "", make("br"), arcs, make("br"), share);
  const byKind = { 1: mine.contacts, 0: mine.known - mine.contacts, "?": mine.arcs - mine.known };
  for (const kind of KINDS) $(`count${kind.key}`).textContent = `${byKind[kind.key]} arcs`;
  updateHeads(found);
  updateTable(pairs);
}

function updateHeads(found) {
  const largest = found.reduce((most, one) => Math.max(most, one.arcs), 0);
  $("largest").textContent = `${largest}`;
  found.forEach((one, place) => {
    const cell = cells[place], chosen = place === state.head;
    const side = one.arcs ? Math.max(34, 100 * Math.sqrt(one.arcs / largest)) : 0;
    Object.assign(cell.firstChild.style, {
      width: `${side}%`, height: `${side}%`,
      background: one.known ? blend("#cdd4dd", colours.contact, one.contacts / one.known) : colours.unknown,
    });
    const told = `head ${headName(place)}: ${one.arcs} arcs`
      + (one.known ? `, ${percent(one.contacts, one.known)} on contacts` : "");
    cell.title = told;
    cell.setAttribute("aria-label", told);
    cell.setAttribute("aria-selected", String(chosen));
    cell.tabIndex = chosen ? 0 : -1;
  });
  const order = [...found.keys()].filter((place) => found[place].arcs)
    .sort((a, b) => wilsonLow(found[b]) - wilsonLow(found[a]) || found[b].arcs - found[a].arcs || a - b).slice(0, BEST);
  $("best").replaceChildren(...order.map((place) => {
    const { arcs, contacts, known } = found[place];
    const text = known ? `${contacts} of ${known} on contacts, ${percent(contacts, known)}` : `${arcs} arcs`;
    const pressed = String(place === state.head);
    return make("li", {}, make("button", { type: "button", "aria-pressed": pressed, onclick: () => choose(place) },
      make("b", {}, headName(place)), make("span", {}, text)));
  }));
}

function updateTable(pairs) {
  $("arcs").tBodies[0].replaceChildren(...pairs.slice(0, MOST_ROWS).map((pair) => {
    const far = distance(data.cb, pair.source, pair.target);
    const name = make("button", { type: "button", title: describe(pair), onclick: () => mark(pair) },
      make("i", { style: { background: kindOf(pair).colour } }), `${shortName(pair.source)} → ${shortName(pair.target)}`);
    return make("tr", {}, make("td", {}, name), make("td", {}, (pair.weight / 1000).toFixed(3)),
      make("td", {}, String(Math.abs(pair.source - pair.target))), make("td", {}, far === null ? "–" : far.toFixed(1)));
  }));
}

function mark(pair) {
  const same = state.marked && state.marked.source === pair.source && state.marked.target === pair.target;
  state.marked = same ? null : pair;
  const pairs = pairsShown();
  state.marked = same ? null : pairs.find((one) => one.source === pair.source && one.target === pair.target);
  drawMarked(pairs);
}

function drawMarked(pairs) {
  const chosen = state.marked;
  drawCylinders(pairs);
  drawStrip(pairs);
  if (!viewer) return;
  if (chosen) viewer.zoomTo({ chain: "A", resi: [chosen.source + 1, chosen.target + 1], expand: 10, byres: true }, 300);
  else home();
}

function choose(place) {
  state.head = place;
  state.marked = null;
  update();
}

// Controls

let waiting = false;
function soon() {
  state.marked = null;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    update();
  });
}

const grid = $("heads"), cells = [];
grid.style.gridTemplateColumns = `16px repeat(${heads}, minmax(9px, 1fr))`;
const often = heads > 24 ? 4 : heads > 12 ? 2 : 1;
grid.append(make("span"), ...Array.from({ length: heads }, (_, head) => make("span", {}, head % often ? "" : String(head))));
for (let layer = 0; layer < layers; layer++) {
  grid.append(make("span", {}, String(layer)));
  for (let head = 0; head < heads; head++) {
    const place = layer * heads + head;
    cells.push(make("button", { type: "button", role: "gridcell", onclick: () => choose(place) }, make("i")));
  }
  grid.append(...cells.slice(layer * heads));
}
grid.addEventListener("keydown", (event) => {
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -heads, ArrowDown: heads }[event.key];
  if (move === undefined) return;
  event.preventDefault();
  const place = state.head + move, sameRow = Math.abs(move) > 1 || Math.floor(place / heads) === Math.floor(state.head / heads);
  if (place < 0 || place >= cells.length || !sameRow) return;
  choose(place);
  cells[place].focus();
});

$("kinds").append(...KINDS.map((kind) => {
  const box = make("input", { type: "checkbox", checked: "" });
  box.addEventListener("change", () => {
    state.hidden[box.checked ? "delete" : "add"](kind.key);
    soon();
  });
  return make("li", {}, make("label", {}, box, make("i", { style: { background: kind.colour } }), kind.name,
    make("b", { id: `count${kind.key}` })));
}));

$("threshold").min = data.floor;
$("threshold").step = data.threshold % 10 || data.floor % 10 ? 1 : 10;
$("threshold").value = data.threshold;
$("threshold").addEventListener("input", () => {
  state.threshold = Number($("threshold").value);
  soon();
});
$("separation").value = data.separation;
$("separation").addEventListener("input", () => {
  state.separation = Math.max(0, Math.floor(Number($("separation").value) || 0));
  soon();
});

for (const [key, { name }] of colourings) $("property").append(make("option", { value: key }, name));
function chooseProperty() {
  state.property = $("property").value;
  const { legend = [], range, description } = colourings.get(state.property);
  const swatches = legend.map(([colour, text]) => make("span", {}, make("i", { style: { background: colour } }), text));
  if (range) {
    const gradient = `linear-gradient(90deg, ${RAMP.join(", ")})`;
    const bar = make("i", { class: "ramp", style: { background: gradient } });
    swatches.push(make("span", {}, `${range[0]}`, bar, `${range[1]} ${range[2]}`));
  }
  $("legend").replaceChildren(...swatches, ...(description ? [make("p", {}, description)] : []));
  paint();
  drawStrip(pairsShown());
}
$("property").addEventListener("change", chooseProperty);
if (data.structureFrom) $("property").value = "structure";

$("siteRow").hidden = !siteValues.includes(1);
$("siteName").textContent = data.sites || "";
$("ligandRow").hidden = !data.pdb.includes("HETATM");
$("sites").addEventListener("change", paint);
$("ligands").addEventListener("change", paint);
$("through").addEventListener("change", paint);
document.querySelector(".key .scale").style.background = `linear-gradient(90deg, #cdd4dd, ${colours.contact})`;

$("reset").addEventListener("click", () => {
  state.marked = null;
  update();
  if (viewer) home();
});
$("spin").addEventListener("click", () => {
  state.spin = !state.spin;
  $("spin").setAttribute("aria-pressed", String(state.spin));
  if (viewer) viewer.spin(state.spin ? "y" : false, 0.6);
});
$("picture").addEventListener("click", () => {
  if (viewer) make("a", { href: viewer.pngURI(), download: "attention.png" }).click();
});
$("viewer").addEventListener("keydown", (event) => {
  const turn = { ArrowLeft: [-8, "y"], ArrowRight: [8, "y"], ArrowUp: [-8, "x"], ArrowDown: [8, "x"] }[event.key];
  const zoom = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 }[event.key];
  if (!viewer || !(turn || zoom)) return;
  event.preventDefault();
  if (turn) viewer.rotate(...turn);
  else viewer.zoom(zoom);
  viewer.render();
});
$("strip").addEventListener("mousemove", (event) => {
  const i = Math.floor((event.clientX - $("strip").getBoundingClientRect().left - strip.left) / strip.step);
  if (i >= 0 && i < length) show(describeResidue(i), event);
  else hide();
});
$("strip").addEventListener("mouseleave", hide);
window.addEventListener("resize", () => drawStrip(pairsShown()));

build();
update();
chooseProperty();
