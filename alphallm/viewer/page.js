// The page: which problem, which move, after how many simulations; keys.

const byId = (id) => document.getElementById(id);
const page = JSON.parse(byId("data").textContent);
const now = {problem: 0, move: 0, step: 0, side: 0, unvisited: false, query: ""};
let sides = [], steps = 0, playing = 0, awaited = 0, resized = null;

function start() {
  document.title = page.title || document.title;
  byId("title").textContent = page.title;
  const select = byId("problems");
  select.hidden = page.problems.length < 2;
  page.problems.forEach((_, i) => select.append(
    new Option(`problem ${i + 1} of ${page.problems.length}`, i)));
  select.addEventListener("change", () => openProblem(Number(select.value)));
  openProblem(0);
}

function openProblem(index) {
  now.problem = byId("problems").value = index;
  const {name, sides: shown} = page.problems[index];
  const text = byId("problem");
  text.textContent = text.title = inLine(name);
  byId("twokey").hidden = shown.length < 2;
  const moves = Math.max(...shown.map((side) => side.moves.length));
  const nav = byId("moves");
  nav.hidden = moves < 2;
  nav.replaceChildren(...Array.from({length: moves}, (_, i) => {
    const title = `The search of move ${i + 1}`;
    const button = element("button", {type: "button", title}, String(i + 1));
    button.addEventListener("click", () => openMove(i));
    return button;
  }));
  nav.prepend("move");
  openMove(0);
}

function openMove(index) {
  stop();
  now.move = index;
  now.side = 0;
  byId("moves").querySelectorAll("button").forEach((button, i) =>
    button.setAttribute("aria-current", i === index));
  resized?.disconnect();
  const shown = page.problems[now.problem].sides;
  sides = shown.map((side, i) => openSide(side, side.moves[index], i));
  byId("sides").replaceChildren(...sides.map((side) => side.box));
  byId("sides").className = sides.length > 1 ? "two" : "one";
  sides = sides.filter((side) => side.tree);
  resized = new ResizeObserver(() => {
    sides.forEach((side) => side.drawing.measure());
    drawCurve();
    show();
  });
  sides.forEach((side) => resized.observe(side.drawing.box));
  steps = Math.max(0, ...sides.map((side) => side.tree.order.length));
  byId("slider").max = steps;
  sides.forEach((side) => side.drawing.measure());
  drawCurve();
  setStep(steps);
}

function openSide(side, data, index) {
  const box = element("section", {className: "side"});
  const heading = element("h2", {}, side.name);
  const facts = element("p", {className: "facts"});
  const played = inLine(side.played);
  box.append(element("div", {className: "heading"}, heading, facts,
    element("p", {className: "played", title: played}, played)));
  if (!data) {
    facts.textContent = `over after ${side.moves.length} ${
      side.moves.length === 1 ? "move" : "moves"}`;
    return {box};
  }
  const tree = plant(data), name = `side${index}`;
  const picture = element("div", {className: "picture"});
  const table = element("div", {className: "outline"});
  const panel = element("div", {className: "details", tabIndex: -1});
  box.append(picture, table, panel);
  const state = {open: new Set(), selected: "-1:-1"};
  const made = {box, tree, state, facts, outcome: side.outcome, index};
  const pick = (key) => select(made, key);
  made.drawing = drawing(picture, tree, pick);
  made.outline = outline(table, tree, {name, pick, fold: (node) => {
    toggle(state.open, node);
    show();
  }});
  made.details = details(panel, tree, pick);
  box.addEventListener("focusin", () => setSide(made));
  box.addEventListener("pointerdown", () => setSide(made));
  unfold(made, tree.n <= 40);
  return made;
}

function toggle(set, x) {
  if (!set.delete(x)) set.add(x);
}

// Unfold everything, or the best line alone.
function unfold(side, all) {
  const {tree, state} = side;
  state.open = new Set(all ? tree.parent.keys() : tree.line.map(([n]) => n));
  state.open.add(0);
}

function setSide(side) {
  now.side = sides.indexOf(side);
  sides.forEach((one) => one.box.classList.toggle("active", one === side));
}

// Show what was known after the simulation that `now` names.
function show() {
  for (const side of sides) {
    const {tree, state} = side;
    const known = side.known = replay(tree, now.step);
    const all = {...state, unvisited: now.unvisited, query: now.query};
    side.outline.show(known, all);
    side.drawing.show(known, rowOf(tree, state.selected));
    side.details.show(known, state.selected);
    const count = known.visits.reduce((sum, n) => sum + (n > 0), 0);
    const {outcome} = side;
    side.facts.replaceChildren(
      `${count} ${count > 1 ? "states" : "state"} · value of the root `,
      element("b", {}, number(known.values[0])),
      ` (${number(tree.raw[0])} before) `,
      element("span",
        {className: `outcome ${outcome.replace(" ", "-")}`}, outcome));
    if (!tree.is_sure) side.facts.append(element("span", {
      title: "States at the greatest depth were seen again; which of them " +
        "when is not kept. What stands at the end is exact.",
      className: "unsure"}, "order in part a guess"));
  }
  byId("step").textContent = `simulation ${now.step} of ${steps}`;
  byId("slider").value = now.step;
  const cursor = byId("curve").querySelector(".cursor");
  const x = steps ? 1000 * now.step / steps : 0;
  if (cursor) cursor.setAttribute("d", `M${x} 0V100`);
}

function setStep(step) {
  now.step = Math.max(0, Math.min(steps, step));
  show();
}

// The root's value by simulation, one curve for each tree.
function drawCurve() {
  const curve = byId("curve");
  curve.setAttribute("viewBox", "0 0 1000 100");
  curve.replaceChildren();
  sides.forEach(({tree}, i) => {
    const points = tree.curve.map((value, s) =>
      `${1000 * s / Math.max(1, steps)} ${94 - 0.88 * percent(value)}`);
    const last = i === sides.length - 1;
    svg("path", {class: last ? "value" : "value earlier", d: `M${points.join("L")}`}, curve);
  });
  svg("path", {class: "cursor"}, curve);
}

function play() {
  if (playing) return stop();
  if (now.step >= steps) setStep(0);
  byId("play").textContent = "❚❚";
  const wait = Math.max(30, Math.min(500, 8000 / Math.max(1, steps)));
  playing = setInterval(() => {
    setStep(now.step + 1);
    if (now.step >= steps) stop();
  }, wait);
}

function stop() {
  clearInterval(playing);
  playing = 0;
  byId("play").textContent = "▶";
}

// Select a row; unfold what is above it, and replay until it is there.
function select(side, key) {
  const {tree, state} = side, row = rowOf(tree, key);
  for (let node = row.parent; node >= 0; node = tree.parent[node])
    state.open.add(node);
  const needed = row.node ?? Math.max(0, row.parent);
  if (!side.known.visits[needed]) now.step = tree.made[needed];
  if (row.node === undefined && !tree.onLine.has(key)) setUnvisited(true);
  state.selected = key;
  setSide(side);
  show();
  side.outline.reveal(key);
}

function setUnvisited(isOn) {
  now.unvisited = byId("unvisited").checked = isOn;
}

// All rows whose text holds what is searched for, of all trees in order.
function matches() {
  if (!now.query) return [];
  return sides.flatMap((side) => side.tree.ranked.flatMap((ks, node) =>
    ks.filter((k) => now.unvisited || side.tree.kids[node].has(k))
      .filter((k) => inLine(side.tree.steps[node][k]).toLowerCase()
        .includes(now.query))
      .map((k) => ({side, key: `${node}:${k}`}))));
}

function search(by) {
  now.query = inLine(byId("search").value).toLowerCase();
  const all = matches(), side = sides[now.side];
  let at = all.findIndex((one) =>
    one.side === side && one.key === side.state.selected);
  if (all.length && (by || at < 0)) {
    at = (Math.max(at, by < 0 ? 0 : -1) + (by || 1) + all.length) % all.length;
    select(all[at].side, all[at].key);
  } else show();
  byId("found").textContent =
    now.query ? `${all.length ? at + 1 : 0} of ${all.length}` : "";
}

const KEYS = {
  ArrowDown: (side) => step(side, 1),
  ArrowUp: (side) => step(side, -1),
  PageDown: (side) => step(side, 15),
  PageUp: (side) => step(side, -15),
  Home: (side) => step(side, -Infinity),
  End: (side) => step(side, Infinity),
  ArrowRight: (side, row) => {
    if (!side.outline.hasKids(row)) return;
    if (side.state.open.has(row.node)) return step(side, 1);
    side.state.open.add(row.node);
    show();
  },
  ArrowLeft: (side, row) => {
    if (side.outline.hasKids(row) && side.state.open.delete(row.node)) show();
    else if (row.parent >= 0) select(side,
      `${side.tree.parent[row.parent]}:${side.tree.action[row.parent]}`);
  },
  Enter: (side, row) => {
    if (side.outline.hasKids(row)) toggle(side.state.open, row.node);
    show();
  },
  e: (side) => (unfold(side, true), show()),
  c: (side) => (unfold(side, false), select(side, "-1:-1")),
  b: (side) => {
    const keys = side.tree.line.map(([node, k]) => `${node}:${k}`);
    const next = keys.indexOf(side.state.selected) + 1;
    select(side, keys[next % keys.length] || "-1:-1");
  },
  ",": () => setStep(now.step - 1),
  ".": () => setStep(now.step + 1),
  p: () => play(),
  t: () => {
    const side = sides[(now.side + 1) % sides.length];
    setSide(side);
    side.outline.box.focus();
  },
  "/": () => byId("search").focus(),
};

function step(side, by) {
  const rows = side.outline.rows();
  const at = rows.findIndex((row) => row.key === side.state.selected);
  const to = Math.max(0, Math.min(rows.length - 1, at + by));
  select(side, rows[to].key);
}

document.addEventListener("keydown", (event) => {
  const side = sides[now.side];
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (event.target.matches("input, select")) {
    if (event.key !== "Escape") return;
    event.target.blur();
    return side?.outline.box.focus();
  }
  const press = plain && side && KEYS[event.key];
  if (!press || (event.key === "Enter" && event.target.matches("button")))
    return;
  event.preventDefault();
  press(side, rowOf(side.tree, side.state.selected));
});
byId("search").addEventListener("input", () => search(0));
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") search(event.shiftKey ? -1 : 1);
});
byId("slider").addEventListener("input", (event) => {
  stop();
  const wanted = Number(event.target.value);
  cancelAnimationFrame(awaited); // one picture a frame, however fast it slides
  awaited = requestAnimationFrame(() => setStep(wanted));
});
byId("play").addEventListener("click", play);
byId("unvisited").addEventListener("change", (event) => {
  setUnvisited(event.target.checked);
  show();
});
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
start();
