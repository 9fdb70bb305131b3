// The same arcs along the sequence.

const strip = { pairs: [], x: () => 0, base: 0 };
function drawStrip(pairs) {
  const canvas = $("strip"), scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const left = 16, step = (width - 2 * left) / length, bar = 7;
  const x = (i) => left + (i + 0.5) * step;
  const below = pairs.some((pair) => pair.contact !== "1"), above = pairs.some((pair) => pair.contact === "1");
  const coloured = !["", "structure"].includes(state.property);
  const rows = 1 + (siteValues.includes(1) ? 1 : 0) + (coloured ? 1 : 0), middle = rows * (bar + 2) + 16;
  const top = 6 + (above || !below ? (height - middle - 12) * (above && below ? 0.5 : 1) : 0), bottom = top + middle;
  const longest = pairs.reduce((most, pair) => Math.max(most, Math.abs(pair.source - pair.target)), 1);
  for (const pair of [...pairs].reverse()) {
    const up = pair.contact === "1", [a, b] = [x(pair.source), x(pair.target)];
    const tall = (up ? top - 4 : height - bottom - 6) * Math.sqrt(Math.abs(pair.source - pair.target) / longest);
    pen.beginPath();
    pen.ellipse((a + b) / 2, up ? top : bottom, Math.abs(a - b) / 2, tall, 0, up ? Math.PI : 0, up ? 2 * Math.PI : Math.PI);
    pen.strokeStyle = pair === state.marked ? "#111827" : kindOf(pair).colour;
    pen.globalAlpha = 0.8;
    pen.lineWidth = 0.5 + 4 * pair.weight / 1000;
    pen.stroke();
  }
  pen.globalAlpha = 1;
  const track = (row, colour) => {
    for (let i = 0; i < length; i++) {
      const fill = colour(i);
      if (!fill) continue;
      pen.fillStyle = fill;
      pen.fillRect(left + i * step, top + 3 + row * (bar + 2), Math.max(step, 0.8), bar);
    }
  };
  let row = 0;
  track(row++, (i) => colours.structure[data.structure[i]] || (data.structureFrom ? MISSING : colours.plain));
  if (siteValues.includes(1)) track(row++, (i) => (isSite(i) ? colours.site : MISSING));
  if (coloured) track(row++, colourings.get(state.property).of);
  pen.fillStyle = "#5b6472";
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "center";
  const ticks = [10, 20, 25, 50, 100, 200, 250, 500, 1000].find((every) => every * step >= 42) || 2000;
  for (let i = 0; i < length; i += ticks) pen.fillText(String(i), x(i), top + 3 + row * (bar + 2) + 9);
  Object.assign(strip, { left, step });
}
