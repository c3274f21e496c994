"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  // A method's title may break before its options, not inside a word.
  const titled = (text) => {
    const made = make("b");
    text.split(/(?=\[)/).forEach((part, i) => made.append(...(i ? [make("wbr"), part] : [part])));
    return made;
  };

  // Theme: the reader's system decides until the switch is used.
  const theme = byId("theme"), root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("rcam-theme"); } catch { return null; } };
  const setTheme = (name) => {
    root.dataset.theme = name;
    theme.textContent = name === "dark" ? "Light" : "Dark";
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => stored() || (system.matches ? "dark" : "light");
  setTheme(wanted());
  system.addEventListener("change", () => setTheme(wanted()));
  theme.addEventListener("click", () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("rcam-theme", next); } catch { /* a page that may not store still switches */ }
    setTheme(next);
  });

  // On paper nothing can be opened.
  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => { opened = [...closed()]; for (const one of opened) one.open = true; });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

  // Tables: numbers sort by the value that a cell stands for; what has none comes last.
  const key = (cell) => (cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v));
  const missing = (value) => value === "" || Number.isNaN(value);
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, place) => head.firstElementChild.addEventListener("click", () => {
      // The first click puts the best first: the highest number, the lowest where a heading says so.
      const sorted = head.getAttribute("aria-sort");
      const high = head.classList.contains("n") && !head.textContent.includes("\u2193");
      const down = sorted ? sorted === "ascending" : high;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [key(row.cells[place]), row]);
      rows.sort(([a], [b]) => missing(a) - missing(b) || (down ? -order(a, b) : order(a, b)));
      body.append(...rows.map(([, row]) => row));
    }));
  }

  // Gallery.
  const { galleries, colours } = JSON.parse(byId("data").textContent);
  if (!galleries.length) return;
  const SIDE = 160;
  const input = (name) => byId("g-" + name);
  const list = byId("cards-of-images");
  let shown = [], drawn = 0;

  const current = () => galleries[input("run") ? Number(input("run").value) : 0];
  const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => {
    const option = make("option", text);
    option.value = value;
    return option;
  }));
  const fill = () => {
    const g = current();
    const classes = [...new Set(g.images.map((image) => image.class))];
    classes.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    options(input("metric"), g.metrics.map((metric, place) => [place, metric.title]));
    input("metric").value = g.main;
    options(input("method"), [["", "all methods"], ...g.methods.map((method, place) => [place, method])]);
    options(input("class"), [["", "all"], ...classes.map((name) => [name, name])]);
  };
  options(input("colours"), Object.keys(colours).map((name) => [name, name]));

  const methodsShown = (g) => (input("method").value === "" ? g.methods.map((_, i) => i) : [Number(input("method").value)]);
  const choose = () => {
    const g = current(), how = input("order").value, metric = Number(input("metric").value);
    const places = methodsShown(g), name = input("class").value;
    const up = g.metrics.length && g.metrics[metric].up === false ? -1 : 1;
    const asked = how === "disputed" ? g.methods.map((_, i) => i) : places; // one method alone disputes nothing
    const values = (image) => asked.map((i) => image.of[i] && image.of[i].values[metric])
      .filter((v) => v !== null && v !== undefined);
    const has = (image, begins) => places.some((i) => image.of[i] && begins(image.of[i].status));
    let found = g.images.filter((image) => !name || image.class === name);
    if (how === "constant") found = found.filter((image) => has(image, (s) => s.startsWith("constant")));
    if (how === "failed") found = found.filter((image) => has(image, (s) => s.startsWith("error") || s.startsWith("nan")));
    if (["best", "worst", "disputed"].includes(how)) {
      const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
      const score = {
        best: (v) => -up * mean(v),
        worst: (v) => up * mean(v),
        disputed: (v) => Math.min(...v) - Math.max(...v),
      }[how];
      const scored = found.map((image) => [values(image), image]).filter(([v]) => v.length);
      found = scored.map(([v, image]) => [score(v), image]).sort((a, b) => a[0] - b[0]).map(([, image]) => image);
    }
    shown = found;
    drawn = 0;
    list.replaceChildren();
    const of = g.total > g.images.length ? `; the page holds ${g.images.length} of the run's ${g.total}` : "";
    const bare = shown.filter((image) => !image.picture).length;
    const without = bare ? `; ${bare} without a picture` : "";
    input("count").textContent = `${shown.length} of ${g.images.length} images and classes${of}${without}`;
    more();
  };

  const more = () => {
    const g = current();
    const count = Math.max(3, Math.min(12, Math.floor(96 / methodsShown(g).length)));
    const first = drawn;
    for (const image of shown.slice(drawn, drawn + count)) list.append(card(g, image));
    drawn = Math.min(drawn + count, shown.length);
    input("more").hidden = drawn >= shown.length;
    return list.children[first];
  };

  const card = (g, image) => {
    const box = make("article", undefined, "image");
    box.append(make("h3", image.id));
    const p = image.p === null ? "" : image.p < 0.0005 ? " (p < 0.001)" : ` (p = ${image.p.toFixed(3)})`;
    const others = [["", image.output], ["predicted: ", image.predicted], ["labelled: ", image.label]];
    const [also, wrong, label] = others.map(([what, name]) => name ? `, ${what}${name}` : "");
    box.append(make("p", `explained: ${image.class}${also}${p}${wrong}${label}`));
    const bare = !image.picture && !image.of.some((of) => of && of.map);
    const maps = make("div", undefined, "maps");
    let source = null;
    if (image.picture) {
      const cell = make("div");
      source = make("img");
      source.alt = "the image as the network saw it";
      source.src = "data:image/jpeg;base64," + image.picture;
      cell.append(source, make("b", "image"));
      maps.append(cell);
    }
    const places = methodsShown(g), best = bestOf(g, image, places), chosen = Number(input("metric").value);
    const metrics = g.metrics.map((_, m) => m).filter((m) => m === chosen || g.few.includes(m));
    for (const i of places) if (image.of[i]) maps.append(ofMethod(g, i, image.of[i], source, bare, best, metrics));
    box.append(maps);
    return box;
  };

  // The best value of each metric among the methods shown, where they are not all alike.
  const bestOf = (g, image, places) => g.metrics.map((metric, m) => {
    const values = places.map((i) => image.of[i] && image.of[i].values[m]).filter((v) => v !== null && v !== undefined);
    const low = Math.min(...values), high = Math.max(...values);
    return metric.up === null || low === high ? null : metric.up ? high : low;
  });

  const ofMethod = (g, place, of, source, bare, best, metrics) => {
    const cell = make("div"), method = g.methods[place];
    if (of.map) {
      const canvas = make("canvas");
      canvas.width = canvas.height = SIDE;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `map of ${method}`);
      const draw = () => paint(canvas, of.map, source);
      canvas.repaint = draw;
      if (source && !source.complete) source.addEventListener("load", draw); else draw();
      cell.append(canvas);
    } else if (!bare) {
      cell.append(make("div", of.status === "ok" ? "map not kept" : "no map to draw", "none"));
    }
    cell.append(titled(method));
    if (of.status !== "ok") cell.append(make("div", of.status));
    for (const i of metrics) {
      if (of.values[i] === null) continue;
      const metric = g.metrics[i], title = metric.title.replace(/ (?=.$)/, "\u00a0"); // no arrow on a line of its own
      const score = make("div", `${title} `, "score");
      score.append(make("span", of.values[i].toFixed(metric.digits), of.values[i] === best[i] ? "top" : undefined));
      cell.append(score);
    }
    return cell;
  };

  // The map's cells are joined bilinearly, with their centres where the network has them, and coloured last.
  const bilinear = ([width, height, text], across, down) => {
    const bytes = atob(text), heat = new Float32Array(across * down);
    const at = (x, y) => bytes.charCodeAt(y * width + x) / 255;
    for (let j = 0; j < down; j += 1) {
      const y = Math.min(Math.max(((j + 0.5) * height) / down - 0.5, 0), height - 1), y0 = Math.floor(y);
      const y1 = Math.min(y0 + 1, height - 1), fy = y - y0;
      for (let i = 0; i < across; i += 1) {
        const x = Math.min(Math.max(((i + 0.5) * width) / across - 0.5, 0), width - 1), x0 = Math.floor(x);
        const x1 = Math.min(x0 + 1, width - 1), fx = x - x0;
        heat[j * across + i] = (at(x0, y0) * (1 - fx) + at(x1, y0) * fx) * (1 - fy)
          + (at(x0, y1) * (1 - fx) + at(x1, y1) * fx) * fy;
      }
    }
    return heat;
  };
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const paint = (canvas, map, source) => {
    if (source && source.naturalWidth) {
      canvas.width = source.naturalWidth;
      canvas.height = source.naturalHeight;
    }
    const { width, height } = canvas, context = canvas.getContext("2d", { willReadFrequently: true });
    const steps = colours[input("colours").value].map(rgb), last = steps.length - 1;
    const strength = source ? Number(input("heat").value) / 100 : 1;
    if (source) context.drawImage(source, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height), data = pixels.data;
    bilinear(map, width, height).forEach((value, n) => {
      const place = Math.min(value, 1) * last, low = Math.floor(place), high = Math.min(low + 1, last);
      for (let c = 0; c < 3; c += 1) {
        const colour = steps[low][c] + (steps[high][c] - steps[low][c]) * (place - low);
        data[4 * n + c] = data[4 * n + c] * (1 - strength) + colour * strength;
      }
      data[4 * n + 3] = 255;
    });
    context.putImageData(pixels, 0, 0);
  };

  input("more").addEventListener("click", () => {
    const card = more();
    if (!input("more").hidden || !card) return;
    card.tabIndex = -1; // the button that had the focus is gone
    card.focus();
  });
  const looks = [input("heat"), input("colours")];
  const paintAll = () => {
    input("bar").style.background = `linear-gradient(90deg, ${colours[input("colours").value].join(",")})`;
    for (const canvas of list.querySelectorAll("canvas")) canvas.repaint();
  };
  for (const one of looks) one.addEventListener("input", paintAll);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("change", (event) => {
    if (looks.includes(event.target)) return;
    if (event.target === input("run")) fill();
    choose();
  });
  const drawnMaps = galleries.some((g) => g.images.some((image) => image.of.some((of) => of && of.map)));
  for (const one of [...looks.map((look) => look.closest("label")), input("colour-hint")]) one.hidden = !drawnMaps;
  fill();
  choose();
  paintAll();
})();
