// The tree as rows of text. Only rows in sight are in the document, so that a
// tree of any size scrolls alike.

const ROW = 26; // pixels, of page.css

function element(name, options = {}, ...children) {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
}

const COLUMNS = [ // name, what it is
  ["step", "A step of reasoning; the tree's edges"],
  ["N", "How often the search went this way"],
  ["Q", "What it found there: reward, and mean of the values below"],
  ["prior", "Probability that the policy gives to the step"],
  ["value", "Of the state that the step leads to, before any search there"],
  ["reward", "Of the step itself"],
  ["made", "In which simulation the state was made"],
];

// The row of a key "node:candidate"; "-1:-1" is the root's.
function rowOf(tree, key) {
  const [parent, action] = key.split(":").map(Number);
  const node = parent < 0 ? 0 : tree.kids[parent].get(action);
  const depth = parent < 0 ? 0 : tree.depth[parent] + 1;
  return {key, parent, action, node, depth};
}

function textOf(tree, row) {
  return row.parent < 0 ? tree.context : tree.steps[row.parent][row.action];
}

// Whether a candidate solves, or a state is over, in one word.
function markOf(tree, row) {
  if (row.node !== undefined && tree.mark[row.node]) return tree.mark[row.node];
  if (row.parent >= 0 && tree.wins[row.parent][row.action]) return "solved";
  return "";
}

function outline(box, tree, handlers) {
  const head = element("div", {className: "row head"});
  head.setAttribute("role", "row");
  for (const [name, title] of COLUMNS) {
    const cell = element("span", {className: name, title}, name);
    cell.setAttribute("role", "columnheader");
    head.append(cell);
  }
  const space = element("div", {className: "space"});
  const scroller = element("div", {className: "rows", tabIndex: 0}, head, space);
  scroller.setAttribute("role", "treegrid");
  scroller.setAttribute("aria-label", "Steps of the tree");
  box.append(scroller);
  let rows = [], known = null, state = null;

  // All rows that are unfolded, in order.
  function list() {
    const found = [];
    const visit = (row) => {
      const seen = row.node !== undefined && known.visits[row.node] > 0;
      found.push(row);
      if (!seen || !state.open.has(row.node)) return;
      for (const k of tree.ranked[row.node]) {
        const below = rowOf(tree, `${row.node}:${k}`);
        if (isShown(below)) visit(below);
      }
    };
    visit(rowOf(tree, "-1:-1"));
    return found;
  }

  // Of steps that were never visited, the best line may end in one.
  const isShown = (row) => state.unvisited || (row.node === undefined
    ? tree.onLine.has(row.key) : known.visits[row.node] > 0);

  const hasKids = (row) => row.node !== undefined &&
    known.visits[row.node] > 0 && tree.ranked[row.node].some(
      (k) => isShown(rowOf(tree, `${row.node}:${k}`)));

  function show(nowKnown, nowState) {
    [known, state] = [nowKnown, nowState];
    rows = list();
    space.style.height = `${rows.length * ROW}px`;
    render();
  }

  function render() {
    if (!known) return;
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - 4);
    const count = Math.ceil(scroller.clientHeight / ROW) + 8;
    space.replaceChildren(...rows.slice(first, first + count).map(
      (row, i) => draw(row, first + i)));
    const active = space.querySelector(".selected");
    if (active) scroller.setAttribute("aria-activedescendant", active.id);
    else scroller.removeAttribute("aria-activedescendant");
  }

  function draw(row, place) {
    const {node} = row, seen = node !== undefined && known.visits[node] > 0;
    const line = element("div", {className: "row"});
    line.id = `${handlers.name}-${row.key}`;
    line.dataset.key = row.key;
    line.style.top = `${place * ROW}px`;
    line.setAttribute("role", "row");
    line.setAttribute("aria-level", row.depth + 1);
    line.setAttribute("aria-selected", row.key === state.selected);
    const opens = hasKids(row);
    if (opens) line.setAttribute("aria-expanded", state.open.has(node));
    line.classList.toggle("selected", row.key === state.selected);
    line.classList.toggle("line", row.parent < 0 || tree.onLine.has(row.key));
    line.classList.toggle("now", seen && known.path.has(node) && node > 0);
    line.classList.toggle("unseen", !seen);
    const mark = markOf(tree, row);
    if (mark) line.classList.add(mark);

    const step = element("span", {className: "step"});
    step.style.setProperty("--depth", row.depth);
    const fold = opens ? (state.open.has(node) ? "▾" : "▸") : "";
    step.append(element("i", {className: "fold"}, fold));
    const text = row.parent < 0 ? "root" : inLine(textOf(tree, row));
    step.append(element("span", {className: "text"},
      ...(text ? found(text, state.query) : [element("em", {}, blank(textOf(tree, row)))])));
    if (row.parent < 0) step.lastChild.classList.add("root");
    if (mark && (seen || mark === "solved"))
      step.append(element("b", {className: "badge"}, mark));

    const cell = (name, content) => {
      const made = element("span", {className: name}, content);
      made.setAttribute("role", "gridcell");
      line.append(made);
      return made;
    };
    step.setAttribute("role", "gridcell");
    line.append(step);
    const share = seen ? known.visits[node] / known.visits[0] : 0;
    cell("N", seen ? String(known.visits[node]) : "")
      .style.setProperty("--share", share.toFixed(4));
    const q = seen ? qvalue(tree, known, node) : null;
    const qcell = cell("Q", number(q));
    if (seen) qcell.style.setProperty("--q", `${percent(q)}%`);
    qcell.classList.toggle("known", seen);
    const prior = row.parent < 0 ? null : tree.priors[row.parent][row.action];
    cell("prior", number(prior))
      .style.setProperty("--share", (prior || 0).toFixed(4));
    cell("value", seen ? number(tree.raw[node]) : "");
    cell("reward", seen && node && tree.reward[node]
      ? number(tree.reward[node]) : "");
    cell("made", seen && node ? String(tree.made[node]) : "");
    return line;
  }

  scroller.addEventListener("scroll", render, {passive: true});
  space.addEventListener("click", (event) => {
    const line = event.target.closest(".row");
    if (!line) return;
    const row = rowOf(tree, line.dataset.key);
    handlers.pick(row.key);
    if (event.target.classList.contains("fold") && hasKids(row))
      handlers.fold(row.node);
  });
  space.addEventListener("dblclick", (event) => {
    const line = event.target.closest(".row");
    const row = line && rowOf(tree, line.dataset.key);
    if (row && hasKids(row)) handlers.fold(row.node);
  });

  function reveal(key) {
    const place = rows.findIndex((row) => row.key === key);
    if (place < 0) return;
    const top = place * ROW, height = scroller.clientHeight - ROW;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + ROW > scroller.scrollTop + height)
      scroller.scrollTop = top + ROW - height;
    render();
  }
  return {show, render, reveal, hasKids, rows: () => rows, box: scroller};
}

// A text in pieces, with what was searched for marked.
function found(text, query) {
  if (!query) return [text];
  const pieces = [], low = text.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(query); at >= 0; at = low.indexOf(query, from)) {
    pieces.push(text.slice(from, at),
      element("mark", {}, text.slice(at, at + query.length)));
    from = at + query.length;
  }
  return [...pieces, text.slice(from)];
}
