// What a search knew after each of its simulations, from the tree's data.

// A tree with what the page asks of it: who is whose child, in which order.
function plant(data) {
  const n = data.parent.length;
  const kids = data.steps.map(() => new Map()); // candidate -> node
  for (let node = 1; node < n; node++)
    kids[data.parent[node]].set(data.action[node], node);
  const made = new Int32Array(n); // in which simulation
  for (let s = data.order.length - 1; s >= 0; s--) made[data.order[s]] = s + 1;
  const depth = new Int32Array(n);
  for (let node = 1; node < n; node++)
    depth[node] = depth[data.parent[node]] + 1;
  // The candidates of each node, the most visited first.
  const ranked = data.steps.map((steps, node) => {
    const visits = (k) =>
      kids[node].has(k) ? data.visits[kids[node].get(k)] : 0;
    return steps
      .map((_, k) => k)
      .filter((k) => visits(k) || data.priors[node][k] > 0)
      .sort((a, b) => visits(b) - visits(a) || data.wins[node][b] -
        data.wins[node][a] || data.priors[node][b] - data.priors[node][a]);
  });
  const line = new Set(data.line.map(([node, k]) => `${node}:${k}`));
  const tree = {...data, n, kids, made, depth, ranked, onLine: line};
  tree.curve = rootValues(tree);
  return tree;
}

// Add one simulation to what was known: a visit and a return on its path.
function simulate(tree, known, simulation) {
  let node = tree.order[simulation];
  let back = tree.raw[node];
  known.path.length = 0;
  for (;;) {
    known.path.push(node);
    known.visits[node] += 1;
    known.returns[node] += back;
    if (tree.parent[node] < 0) return;
    back = tree.reward[node] + tree.discount[node] * back;
    node = tree.parent[node];
  }
}

function planted(tree) {
  const visits = new Int32Array(tree.n), returns = new Float64Array(tree.n);
  visits[0] = 1;
  returns[0] = tree.raw[0];
  return {visits, returns, path: []};
}

// N, the mean value and the path of the last simulation, after `step` of them.
function replay(tree, step) {
  const known = planted(tree);
  const last = Math.min(step, tree.order.length);
  for (let s = 0; s < last; s++) simulate(tree, known, s);
  const values = known.returns.map((sum, i) => sum / (known.visits[i] || 1));
  return {step: last, visits: known.visits, values, path: new Set(known.path)};
}

// The value of the root before the search and after each simulation.
function rootValues(tree) {
  const known = planted(tree), values = [tree.raw[0]];
  for (let s = 0; s < tree.order.length; s++) {
    simulate(tree, known, s);
    values.push(known.returns[0] / known.visits[0]);
  }
  return values;
}

// Q of the step that leads to a node; at the root, its value.
function qvalue(tree, known, node) {
  if (node === 0) return known.values[0];
  return tree.reward[node] + tree.discount[node] * known.values[node];
}

// A step in one line.
function inLine(text) {
  return text.replace(/\s+/g, " ").trim();
}

// What to call a step that shows nothing.
function blank(text) {
  return text ? "empty line" : "no text";
}

function number(x, digits = 2) {
  return x === null || x === undefined ? "" : x.toFixed(digits);
}
