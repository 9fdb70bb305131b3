// The structure, and the cylinders on it.

let viewer = null;
function build() {
  const absent = (text) => $("viewer").append(make("div", { class: "absent" }, text));
  if (!data.pdb) {
    absent("No coordinates of this protein are known. Give a structure file: attnstore view … --structure FILE");
    return;
  }
  try {
    viewer = $3Dmol.createViewer($("viewer"), { backgroundColor: "white", antialias: true, hoverDuration: 40 });
  } catch (error) {
    viewer = null;
  }
  if (!viewer) {
    absent("This browser has no WebGL, so the structure cannot be shown; everything else works.");
    return;
  }
  const computed = !data.trace && !data.structureFrom;
  viewer.addModel(data.pdb, "pdb", { noComputeSecondaryStructure: !computed, assignBonds: !data.trace });
  viewer.setHoverable({ chain: "A", atom: "CA" }, true,
    (atom, _viewer, event) => show(describeResidue(atom.resi - 1), event), hide);
  viewer.setHoverable({ chain: "Z" }, true, (atom, _viewer, event) => show(atom.resn, event), hide);
  paint();
  home();
  // Until somebody turns it, it fits its frame, whose size a notebook may settle later.
  let turned = false;
  for (const event of ["pointerdown", "wheel", "keydown"]) $("viewer").addEventListener(event, () => { turned = true; });
  new ResizeObserver(() => {
    viewer.resize();
    if (!turned && !state.marked) home();
  }).observe($("viewer"));
}

// From where it is best seen, as large as the stage allows, but for the lines above.
function home() {
  viewer.zoomTo({ chain: "A" });
  const { centre, rotation } = data.pose;
  viewer.setView([...centre.map((x) => -x), viewer.getView()[3], ...rotation]);
  const on = viewer.modelToScreen(data.ca.filter(Boolean).map(([x, y, z]) => ({ x, y, z })));
  const extent = (axis) => on.reduce((most, point) => Math.max(most, point[axis]), -Infinity)
    - on.reduce((least, point) => Math.min(least, point[axis]), Infinity);
  const { width, height } = $("viewer").getBoundingClientRect();
  viewer.zoom(Math.min(0.84 * width / (extent("x") || 1), 0.72 * height / (extent("y") || 1), 4));
  viewer.render();
}

function paint() {
  if (!viewer) return;
  const { of } = colourings.get(state.property);
  const known = data.structureFrom !== "";
  for (const atom of viewer.selectedAtoms({ chain: "A" })) {
    // Drawing an arrow renames the last two residues of a strand: named anew before each drawing, it stays there.
    if (known || data.trace) atom.ss = { h: "h", s: "s" }[data.structure[atom.resi - 1]] || "c";
    else atom.ss = { "arrow start": "s", "arrow end": "s" }[atom.ss] || atom.ss;
  }
  viewer.setStyle({}, {});
  viewer.setStyle({ chain: "A" }, { cartoon: { colorfunc: (atom) => of(atom.resi - 1), arrows: true, opacity: $("through").checked ? 0.6 : 1 } });
  const sites = $("sites").checked ? siteValues.flatMap((value, i) => (value === 1 ? [i + 1] : [])) : [];
  if (sites.length) {
    const atoms = data.trace ? { atom: "CA" } : { not: { atom: ["N", "C", "O"] } };
    const style = data.trace ? { sphere: { radius: 0.85, color: colours.site } }
      : { stick: { radius: 0.2, colorscheme: { prop: "elem", map: { C: colours.site, N: "#3050f8", O: "#d63031", S: "#d4a017" } } } };
    viewer.addStyle({ chain: "A", resi: sites, ...atoms }, style);
    if (!data.trace) viewer.addStyle({ chain: "A", resi: sites, atom: "CA" }, { sphere: { radius: 0.5, color: colours.site } });
  }
  if ($("ligands").checked) {
    const map = { C: "#3c4452", N: "#3050f8", O: "#d63031", S: "#d4a017", P: "#e17055" };
    viewer.setStyle({ chain: "Z" }, { stick: { radius: 0.17, colorscheme: { prop: "elem", map } }, sphere: { scale: 0.22, colorscheme: { prop: "elem", map } } });
  }
  viewer.render();
}

function drawCylinders(pairs) {
  const drawable = pairs.filter((pair) => pair.source !== pair.target && data.ca[pair.source] && data.ca[pair.target]);
  const drawn = drawable.slice(0, MOST_CYLINDERS);
  if (viewer) {
    viewer.removeAllShapes();
    for (const pair of drawn) {
      const [start, end] = [pair.source, pair.target].map((i) => {
        const [x, y, z] = data.ca[i];
        return { x, y, z };
      });
      viewer.addCylinder({
        start, end, radius: 0.08 + 0.6 * pair.weight / 1000, fromCap: 2, toCap: 2,
        color: pair === state.marked ? "#111827" : kindOf(pair).colour, hoverable: true,
        hover_callback: (_shape, _viewer, event) => show(describe(pair), event), unhover_callback: hide,
      });
    }
    viewer.render();
  }
  return { drawable: drawable.length, drawn: viewer ? drawn.length : 0 };
}

function show(text, event) {
  const box = $("stage").getBoundingClientRect(), label = $("label");
  label.textContent = text;
  label.hidden = false;
  const x = Math.min(event.clientX - box.left + 14, box.width - label.offsetWidth - 6);
  const y = Math.min(event.clientY - box.top + 14, box.height - label.offsetHeight - 6);
  Object.assign(label.style, { left: `${Math.max(x, 4)}px`, top: `${Math.max(y, 4)}px` });
}
const hide = () => { $("label").hidden = true; };
