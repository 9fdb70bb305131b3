// What is known of residues, as colours and in words.

const blend = (a, b, t) => "#" + [1, 3, 5].map((at) => {
  const [x, y] = [a, b].map((colour) => parseInt(colour.slice(at, at + 2), 16));
  return Math.round(x + (y - x) * t).toString(16).padStart(2, "0");
}).join("");
const RAMP = ["#ffffd9", "#7fcdbb", "#1d91c0", "#0c2c84"];
const ramp = (t) => {
  const at = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2);
  return blend(RAMP[low], RAMP[low + 1], at - low);
};
const MISSING = "#f3f4f6";

const colourings = new Map([["", { name: "nothing", of: () => colours.plain, value: () => null, legend: [] }]]);
if (data.structureFrom) {
  const letters = Object.keys(data.structureNames).filter((letter) => data.structure.includes(letter));
  colourings.set("structure", {
    name: "secondary structure",
    of: (i) => colours.structure[data.structure[i]] || MISSING,
    value: (i) => data.structureNames[data.structure[i]],
    legend: letters.map((letter) => [colours.structure[letter], data.structureNames[letter]]),
    description: `from ${data.structureFrom}`,
  });
}
data.properties.forEach((property, number) => {
  const { name, unit, kind, values, categories, description } = property;
  const known = values.filter((value) => value !== null);
  const told = { name, description, value: (i) => values[i] };
  if (kind === "boolean") {
    told.of = (i) => (values[i] === null ? MISSING : values[i] ? colours.categories[0] : colours.plain);
    told.legend = [[colours.categories[0], "true"], [colours.plain, "false"]];
    told.value = (i) => values[i] === null ? null : String(values[i] === 1);
  } else if (kind === "category") {
    const palette = (value) => (value < colours.categories.length ? colours.categories[value] : "#6b7280");
    told.of = (i) => (values[i] === null ? MISSING : palette(values[i]));
    told.legend = categories.slice(0, colours.categories.length).map((text, at) => [palette(at), text]);
    if (categories.length > colours.categories.length) told.legend.push(["#6b7280", "others"]);
    told.value = (i) => values[i] === null ? null : categories[values[i]];
  } else {
    const least = known.reduce((a, b) => Math.min(a, b), Infinity);
    const most = known.reduce((a, b) => Math.max(a, b), -Infinity);
    told.of = (i) => (values[i] === null ? MISSING : ramp((values[i] - least) / (most - least || 1)));
    told.range = [least, most, unit];
    told.value = (i) => values[i] === null ? null : `${values[i]} ${unit}`.trim();
  }
  if (known.length < length && told.legend) told.legend.push([MISSING, "unknown"]);
  colourings.set(String(number), told);
});
const siteValues = (data.properties.find((property) => property.name === data.sites) || {}).values || [];
const isSite = (i) => siteValues[i] === 1;

function describeResidue(i) {
  const colouring = colourings.get(state.property);
  const value = state.property && colouring.value(i) !== null ? `${colouring.name}: ${colouring.value(i)}` : "";
  return [residueName(i), value, isSite(i) ? data.sites : ""].filter(Boolean).join("\n");
}
