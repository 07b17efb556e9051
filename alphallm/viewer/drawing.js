// The tree as a picture: places are those of the whole tree, so that nothing
// moves while the search is replayed.

const SHAPES = { // of radius 1
  "": "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
  solved: "M0-1.7 .42-.55 1.62-.52 .67.2 1 1.38 0 .68-1 1.38-.67.2" +
    "-1.62-.52-.42-.55Z",
  illegal: "M-1.2-.75-.75-1.2 0-.45.75-1.2 1.2-.75.45 0 1.2.75.75 1.2" +
    " 0 .45-.75 1.2-1.2.75-.45 0Z",
  truncated: "M-.9-.9H.9V.9H-.9Z",
  end: "M0-1.3 1.3 0 0 1.3-1.3 0Z",
};
SHAPES.beyond = SHAPES[""];

function svg(name, attributes = {}, parent = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes))
    made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

// Places of the nodes, [0, 1] across and the depth down.
function places(tree) {
  const across = new Float64Array(tree.n), stack = [[0, 0]];
  let leaves = 0;
  const order = tree.ranked.map((ks, node) =>
    ks.filter((k) => tree.kids[node].has(k)).map((k) => tree.kids[node].get(k)));
  while (stack.length) { // depth first: children before their parent is placed
    const top = stack[stack.length - 1], [node, next] = top;
    if (next < order[node].length) {
      top[1] += 1;
      stack.push([order[node][next], 0]);
      continue;
    }
    const below = order[node];
    across[node] = below.length
      ? (across[below[0]] + across[below[below.length - 1]]) / 2
      : leaves++ + 0.5;
    stack.pop();
  }
  return {across: across.map((x) => x / leaves), leaves,
    levels: Math.max(1, tree.depth.reduce((a, b) => Math.max(a, b), 0))};
}

// Draws a tree into a box; `pick` is called with the key of what is clicked.
function drawing(box, tree, pick) {
  const canvas = svg("svg", {class: "drawing", role: "img"}, box);
  canvas.setAttribute("aria-label", "The tree as a picture");
  const edges = svg("g", {}, canvas), dots = svg("g", {}, canvas);
  const at = places(tree), shapes = [];
  for (let node = 0; node < tree.n; node++) {
    const edge = node ? svg("path", {class: "edge"}, edges) : null;
    const dot = svg("path", {class: "dot", d: SHAPES[tree.mark[node]]}, dots);
    dot.dataset.node = node;
    if (tree.mark[node]) dot.classList.add(tree.mark[node]);
    const key = `${tree.parent[node]}:${tree.action[node]}`;
    if (edge && tree.onLine.has(key)) edge.classList.add("line");
    shapes.push({edge, dot, key, seen: -1, q: NaN, isNow: false});
  }
  // A step of the best line that solves, but was not made a node.
  const [tip, winner] = tree.line[tree.line.length - 1] || [0, 0];
  let star = null;
  if (tree.line.length && !tree.kids[tip].has(winner) && tree.wins[tip][winner])
    star = {edge: svg("path", {class: "edge line"}, edges),
      dot: svg("path", {class: "dot solved win", d: SHAPES.solved}, dots)};
  const levels = Math.max(at.levels, star ? tree.depth[tip] + 1 : 0);
  const ring = svg("circle", {class: "ring", r: 0}, canvas);
  let width = 0, height = 0;

  const across = (node) => 14 + at.across[node] * (width - 28);
  const down = (depth) => 14 + depth / levels * (height - 28);
  const curve = (x, y, to, below) =>
    `M${x} ${y}C${x} ${(y + below) / 2} ${to} ${(y + below) / 2} ${to} ${below}`;
  const least = () =>
    Math.max(1.8, Math.min(4, 0.4 * width / at.leaves, height / levels / 6));
  // Shares are of all visits to come: a simulation changes its path alone.
  const share = (visits) => Math.sqrt(visits / tree.visits[0]);
  const radius = (visits) => least() * (1 + 1.6 * share(visits));

  function show(known, selected) {
    if (!width) return;
    shapes.forEach((shape, node) => {
      const visits = known.visits[node];
      const q = qvalue(tree, known, node);
      if (visits !== shape.seen) {
        const x = across(node), y = down(tree.depth[node]);
        const r = radius(visits);
        shape.dot.style.display = visits ? "" : "none";
        shape.dot.setAttribute("transform", `translate(${x} ${y})scale(${r})`);
        if (shape.edge) {
          shape.edge.style.display = visits ? "" : "none";
          shape.edge.style.strokeWidth = 0.7 + 3.5 * share(visits);
        }
        shape.seen = visits;
      }
      if (percent(q) !== shape.q && visits) {
        shape.q = percent(q);
        shape.dot.style.setProperty("--q", `${shape.q}%`);
      }
      const isNow = known.path.has(node) && node > 0;
      if (isNow !== shape.isNow) {
        shape.edge?.classList.toggle("now", isNow);
        shape.isNow = isNow;
      }
    });
    if (star) {
      const shown = known.visits[tip] ? "" : "none";
      for (const part of [star.edge, star.dot]) part.style.display = shown;
    }
    const node = selected.node;
    const there = node !== undefined && known.visits[node];
    ring.style.display = there ? "" : "none";
    if (there) {
      ring.setAttribute("cx", across(node));
      ring.setAttribute("cy", down(tree.depth[node]));
      ring.setAttribute("r", radius(known.visits[node]) + 3.5);
    }
  }

  function measure() {
    ({width, height} = canvas.getBoundingClientRect());
    if (!width) return;
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    shapes.forEach(({edge, dot}, node) => {
      shapes[node].seen = -1;
      if (!edge) return;
      const up = tree.parent[node];
      edge.setAttribute("d", curve(across(up), down(tree.depth[up]),
        across(node), down(tree.depth[node])));
    });
    if (star) {
      const x = across(tip), y = down(tree.depth[tip]);
      const below = down(tree.depth[tip] + 1);
      star.edge.setAttribute("d", curve(x, y, x, below));
      const r = Math.max(3, 1.3 * least());
      star.dot.setAttribute("transform", `translate(${x} ${below})scale(${r})`);
    }
  }

  function nearest(event) { // dots are small: whichever is near enough
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = 14 ** 2;
    shapes.forEach(({seen}, node) => {
      const far = (across(node) - x) ** 2 + (down(tree.depth[node]) - y) ** 2;
      if (seen > 0 && far < least) [best, least] = [node, far];
    });
    return best;
  }
  canvas.addEventListener("click", (event) => {
    if (event.target === star?.dot) return pick(`${tip}:${winner}`);
    const node = nearest(event);
    if (node >= 0) pick(shapes[node].key);
  });
  const title = svg("title", {}, canvas);
  canvas.addEventListener("pointermove", (event) => {
    const node = nearest(event);
    canvas.style.cursor = node < 0 ? "" : "pointer";
    title.textContent = node < 0 ? "" : node
      ? inLine(tree.steps[tree.parent[node]][tree.action[node]]) : "the root";
  });
  return {show, measure, box: canvas};
}

// The place of a value between the two ends of the scale.
function percent(q) {
  return Math.round(100 * Math.max(0, Math.min(1, q || 0)));
}
