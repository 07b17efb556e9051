"""The page as it is used, in a headless Chromium."""

import time

import browser
import jax
import numpy as np
import pytest
import searched

from alphallm import viewer

pytestmark = pytest.mark.skipif(
  browser.find() is None, reason="no Chromium is installed (or in $CHROMIUM)"
)
ROW = 2  # the walk that is shown
EVIL = [
  "</script><img src=x onerror=\"document.title='broken'\">",
  "<!--<script>document.title='broken'</script>",
  "\u2028\u2029 line\tand \ud800 half a pair",
  "<b>bold</b> & plain",
]


@pytest.fixture(scope="module")
def tab():
  with browser.tab() as tab:
    yield tab


def page(*trees, name="a problem"):
  side = lambda tree, i: {
    "name": f"side {i}",
    "outcome": "solved",
    "played": "ab",
    "moves": [tree],
  }
  sides = [[side(tree, i)] for i, tree in enumerate(trees)]
  return viewer.page_data("a search", [name], sides)


def texts(tab, selector):
  return tab.run(
    f"[...document.querySelectorAll({selector!r})].map(x => x.textContent)"
  )


@pytest.fixture
def walk(tab, tmp_path):
  """A real search, open in the tab: its result, and its data."""
  result = searched.result()
  data = viewer.from_result(result, searched.TASK, ROW)
  tab.open(viewer.save(tmp_path / "walk.html", page(data)))
  yield result, data
  assert not tab.faults()


def test_every_simulation_is_replayed(tab, walk):
  whole, data = walk
  at = lambda step: tab.run(
    f"(setStep({step}), [[...sides[0].known.visits], "
    "[...sides[0].known.values]])"
  )
  for step in range(25):
    for seen, expected in zip(
      at(step), searched.replay(data, step), strict=True
    ):
      np.testing.assert_allclose(seen, expected, atol=1e-9)
  visits, values = at(24)
  np.testing.assert_array_equal(visits, whole.tree.node_visits[ROW])
  np.testing.assert_allclose(values, whole.tree.node_values[ROW], atol=1e-5)
  early = searched.result(7).tree
  visits, values = at(7)
  np.testing.assert_array_equal(visits, early.node_visits[ROW])
  kept = np.array(visits) > 0
  np.testing.assert_allclose(
    np.array(values)[kept], early.node_values[ROW][kept], atol=1e-5
  )


def test_rows_say_what_the_tree_holds(tab, walk):
  whole, data = walk
  tab.press("e")
  tree = jax.tree.map(lambda x: np.asarray(x[ROW]), whole.tree)
  rows = tab.run(
    "[...document.querySelectorAll('.space .row')].map(row => "
    "[row.dataset.key, ...[...row.children].map(x => x.textContent)])"
  )
  assert len(rows) == 25
  q = np.asarray(whole.tree.qvalues(np.zeros(searched.B, int))[ROW])
  for key, step, n, value, prior, raw, *_ in rows[1:]:
    node, k = map(int, key.split(":"))
    child = tree.children_index[node, k]
    assert data["steps"][node][k].strip() in step
    assert int(n) == tree.node_visits[child]
    assert abs(float(raw) - tree.raw_values[child]) < 0.0051
    assert abs(float(prior) - data["priors"][node][k]) < 0.0051
    if not node:
      assert abs(float(value) - q[k]) < 0.0051
    if data["mark"][child]:
      assert step.endswith(data["mark"][child])


def test_the_slider_turns_the_search_back(tab, walk):
  slide = "slider.value = {}; slider.dispatchEvent(new Event('input'))"
  shown = "[...document.querySelectorAll('.dot')].filter(x => "
  shown += "x.style.display !== 'none').length"
  tab.press("e")
  for step in (0, 3, 24):
    tab.run(slide.format(step))
    tab.frame()
    assert texts(tab, "#step") == [f"simulation {step} of 24"]
    assert len(texts(tab, ".space .row")) == step + 1 == tab.run(shown)
  tab.press(",", ",", ".")
  assert texts(tab, "#step") == ["simulation 23 of 24"]
  tab.press("p")
  deadline = time.monotonic() + 20
  while texts(tab, "#step") != ["simulation 24 of 24"]:
    assert time.monotonic() < deadline
    time.sleep(0.05)


def test_keys_walk_fold_and_unfold(tab, walk):
  _, data = walk
  selected = lambda: tab.run("sides[0].state.selected")
  tab.press("c", "Enter")
  assert selected() == "-1:-1" and len(texts(tab, ".space .row")) == 1
  tab.press("ArrowRight")
  assert selected() == "-1:-1" and len(texts(tab, ".space .row")) > 1
  tab.press("ArrowRight")
  node, k = map(int, selected().split(":"))
  firsts = [n for n in range(1, 25) if data["parent"][n] == 0]
  most = max(firsts, key=lambda n: data["visits"][n])
  assert (node, k) == (0, data["action"][most])
  tab.press("ArrowDown", "ArrowUp", "ArrowUp")
  assert selected() == "-1:-1"
  tab.press("End")
  assert selected() == texts_key(tab)[-1]
  tab.press("Home")
  for node, k in data["line"]:
    tab.press("b")
    assert selected() == f"{node}:{k}"
  tab.press("Home", "ArrowLeft")
  assert len(texts(tab, ".space .row")) == 1
  tab.run("document.querySelector('.space .fold').click()")
  assert len(texts(tab, ".space .row")) > 1
  tab.run("document.querySelector('.space .fold').click()")
  assert len(texts(tab, ".space .row")) == 1


def texts_key(tab):
  return tab.run(
    "[...document.querySelectorAll('.space .row')].map(x => x.dataset.key)"
  )


def test_text_is_searched(tab, tmp_path):
  tree = searched.grown(60, lambda i: f"step {i}\nof many")
  tab.open(viewer.save(tmp_path / "tree.html", page(tree)))
  wanted = tree["steps"][tree["parent"][50]][tree["action"][50]]
  tab.press("c", "/")
  assert tab.run("document.activeElement.id") == "search"
  for character in wanted.partition("\n")[0].upper() + " of":
    tab.press(character)
  assert texts(tab, "#found") == ["1 of 1"]
  assert wanted.replace("\n", " ") in texts(tab, ".selected .text")
  assert texts(tab, ".selected mark") == [wanted.replace("\n", " ")[:-5]]
  tab.run("search.length; byId('search').value = 'MANY'")
  tab.run("byId('search').dispatchEvent(new Event('input'))")
  before = tab.run("sides[0].state.selected")
  tab.press("Enter")
  assert tab.run("sides[0].state.selected") != before
  assert texts(tab, "#found")[0].endswith(" of 59")
  tab.press("Escape", "Home")
  assert tab.run("sides[0].state.selected") == "-1:-1"
  assert not tab.faults()


def test_model_text_stays_text(tab, tmp_path):
  text = lambda i: EVIL[i % len(EVIL)] + f" {i}"
  tree = searched.grown(30, text)
  made = page(tree, tree, name=EVIL[0])
  made["title"] = made["problems"][0]["sides"][0]["name"] = EVIL[1]
  tab.open(viewer.save(tmp_path / "evil.html", made))
  tab.run("setUnvisited(true)")
  tab.press("e", "ArrowDown", "b")
  assert not tab.run("document.querySelectorAll('img, main script').length")
  assert tab.run("document.title").startswith("<!--<script>")
  shown = texts(tab, ".space .text")
  for part in ("</script><img", "<!--<script>", "<b>bold</b> & plain"):
    assert any(part in text for text in shown), part
  assert not tab.run("document.querySelectorAll('main .text b').length")
  assert not tab.faults()


def test_two_trees_side_by_side(tab, tmp_path):
  trees = [searched.grown(n, str, seed=n) for n in (5, 40)]
  tab.open(viewer.save(tmp_path / "two.html", page(*trees)))
  assert texts(tab, "h2") == ["side 0", "side 1"]
  tab.run("setStep(20)")
  counts = "sides.map(side => side.known.visits[0])"
  assert tab.run(counts) == [5, 21]
  tab.press("t", "ArrowDown")
  assert tab.run("sides.map(side => side.state.selected)[0]") == "-1:-1"
  assert tab.run("sides.map(side => side.state.selected)[1]") != "-1:-1"
  assert tab.run("document.querySelector('.active h2').textContent") == "side 1"
  assert not tab.faults()


def test_moves_and_problems_are_chosen(tab, tmp_path):
  made = page(searched.grown(5, str), searched.grown(6, str))
  made["problems"].append(page(searched.grown(9, str), name="b")["problems"][0])
  made["problems"][0]["sides"][0]["moves"].append(searched.grown(4, str))
  tab.open(viewer.save(tmp_path / "moves.html", made))
  assert texts(tab, "#moves button") == ["1", "2"]
  tab.run("document.querySelectorAll('#moves button')[1].click()")
  assert tab.run("sides.map(side => side.tree.n)") == [4]
  assert "over after 1 move" in texts(tab, ".facts")[1]
  tab.run(
    "byId('problems').value = 1;"
    "byId('problems').dispatchEvent(new Event('change'))"
  )
  assert texts(tab, "#problem") == ["b"]
  assert tab.run("sides.map(side => side.tree.n)") == [9]
  assert not tab.faults()


def test_a_thousand_nodes_stay_fluid(tab, tmp_path):
  tree = searched.grown(1000, lambda i: f"step {i} " + "x" * 60, children=8)
  path = viewer.save(tmp_path / "big.html", page(tree))
  tab.open(path)
  seconds = min(tab.open(path) for _ in range(3))
  tab.press("e")
  assert tab.run("sides[0].outline.rows().length") == 1000
  assert len(texts(tab, ".space .row")) < 100  # those in sight
  slide = (
    "(() => {const began = performance.now();"
    "for (let s = 0; s < 20; s++) setStep(50 * s);"
    "return (performance.now() - began) / 20})()"
  )
  frame = min(tab.run(slide) for _ in range(3))
  print(f"1,000 nodes: there in {seconds:.2f} s, {frame:.0f} ms a simulation")
  # On a quiet core a third of a second and a tenth of this; tests share cores.
  assert seconds < 10 and frame < 250
  tab.press("End")
  assert tab.run("sides[0].state.selected") == texts_key(tab)[-1]
  assert not tab.faults()
