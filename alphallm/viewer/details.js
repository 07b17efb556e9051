// All that is known of the row that is selected.

const NUMBERS = [
  ["N", "visits"],
  ["Q", "reward and value of the step, after the search so far"],
  ["V", "value of the state, after the search so far"],
  ["value", "of the state, before any search below it"],
  ["prior", "probability of the step, says the policy"],
  ["reward", "of the step"],
  ["made", "in simulation"],
];

function details(box, tree, pick) {
  function show(known, selected) {
    const row = rowOf(tree, selected);
    const {node} = row, seen = node !== undefined && known.visits[node] > 0;
    const parts = [path(row), text(row, seen), numbers(row, known, seen)];
    if (seen) parts.push(choices(node, known));
    box.replaceChildren(...parts.filter(Boolean));
  }

  // The steps that lead there, to be clicked on.
  function path(row) {
    const list = element("ol", {className: "path"});
    for (let at = row; at; at = up(at)) {
      const said = textOf(tree, at);
      const name = at.parent < 0 ? "root" : inLine(said) || blank(said);
      const button = element("button", {type: "button", title: name}, name);
      const key = at.key;
      button.addEventListener("click", () => pick(key));
      list.prepend(element("li", {}, button));
    }
    return list;
  }

  function up(row) {
    if (row.parent < 0) return null;
    return rowOf(tree, `${tree.parent[row.parent]}:${tree.action[row.parent]}`);
  }

  function text(row, seen) {
    const made = element("div", {className: "texts"});
    const add = (name, said) => {
      const shown = said.replace(/^\n+|\s+$/g, "");
      if (!shown) return;
      made.append(element("h3", {}, name), element("pre", {}, shown));
    };
    if (row.parent < 0) add("the policy reads", tree.context);
    else add("the step", textOf(tree, row));
    if (seen && row.node) add("the environment answers", tree.answer[row.node]);
    const mark = markOf(tree, row);
    if (mark) made.append(element("p", {className: `mark ${mark}`}, {
      solved: "solves the problem", illegal: "is illegal, and ends the episode",
      truncated: "ends at the limit of steps", end: "ends the episode",
      beyond: "lies behind the end of the episode",
    }[mark]));
    return made;
  }

  function numbers(row, known, seen) {
    const {node} = row, root = row.parent < 0;
    const values = {
      N: seen ? String(known.visits[node]) : "0",
      Q: seen && !root ? number(qvalue(tree, known, node), 3) : "",
      V: seen ? number(known.values[node], 3) : "",
      value: seen ? number(tree.raw[node], 3) : "",
      prior: root ? "" : number(tree.priors[row.parent][row.action], 3),
      reward: seen && !root ? number(tree.reward[node], 3) : "",
      made: seen && !root ? String(tree.made[node]) : "",
    };
    const list = element("dl", {});
    for (const [name, title] of NUMBERS) {
      if (values[name] === "") continue;
      list.append(element("div", {title},
        element("dt", {}, name), element("dd", {}, values[name])));
    }
    return list;
  }

  // The candidates: what the policy thought of them, and what the search did.
  function choices(node, known) {
    const ks = tree.ranked[node];
    if (!ks.length) return null;
    const table = element("table", {});
    table.append(element("caption", {}, "the next steps to choose from"));
    const head = element("tr", {});
    for (const name of ["step", "prior", "N", "Q"])
      head.append(element("th", {scope: "col", className: name}, name));
    table.append(element("thead", {}, head));
    const body = element("tbody", {});
    const total = ks.reduce((sum, k) => sum + visits(node, k, known), 0);
    for (const k of ks) {
      const key = `${node}:${k}`, child = tree.kids[node].get(k);
      const n = visits(node, k, known);
      const line = element("tr", {});
      line.classList.toggle("line", tree.onLine.has(key));
      line.classList.toggle("unseen", !n);
      const said = tree.steps[node][k];
      const name = inLine(said) || blank(said);
      const button = element("button", {type: "button", title: name}, name);
      button.addEventListener("click", () => pick(key));
      const step = element("td", {className: "step"}, button);
      if (tree.wins[node][k])
        step.append(element("b", {className: "badge"}, "solved"));
      line.append(step, bar("prior", tree.priors[node][k],
        number(tree.priors[node][k])));
      line.append(bar("N", total ? n / total : 0, n ? String(n) : ""));
      const q = element("td", {className: "Q"});
      if (n) {
        const value = qvalue(tree, known, child);
        q.append(number(value));
        q.classList.add("known");
        q.style.setProperty("--q", `${percent(value)}%`);
      }
      line.append(q);
      body.append(line);
    }
    table.append(body);
    return table;
  }

  function visits(node, k, known) {
    const child = tree.kids[node].get(k);
    return child === undefined ? 0 : known.visits[child];
  }

  function bar(name, share, text) {
    const cell = element("td", {className: name}, text);
    cell.style.setProperty("--share", share.toFixed(4));
    return cell;
  }
  return {show};
}
