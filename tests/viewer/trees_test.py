"""Tests of trees as data, against the trees that mctx would know."""

import json

import fake_model
import jax
import numpy as np
import pytest
import searched
import toy_task

from alphallm import search, viewer
from alphallm.search import moves
from alphallm.viewer import history, trees

DECODE = toy_task.TOKENIZER.decode


def assert_replays(data, tree, row):
  """Check that a replay to the end gives what the tree holds."""
  visits, values = searched.replay(data, len(data["order"]))
  kept = np.asarray(tree.node_visits[row]) > 0
  np.testing.assert_array_equal(visits, tree.node_visits[row][kept])
  np.testing.assert_allclose(values, tree.node_values[row][kept], atol=1e-5)
  np.testing.assert_array_equal(visits, data["visits"])
  np.testing.assert_allclose(values, data["value"], atol=1e-5)


def test_data_are_the_tree():
  result = searched.result()
  for row in range(searched.B):
    data = viewer.from_result(result, searched.TASK, row)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    tree = jax.tree.map(lambda x, row=row: np.asarray(x[row]), result.tree)
    assert_replays(data, result.tree, row)
    assert data["is_sure"] and data["order"] == list(range(1, 25))
    np.testing.assert_array_equal(data["parent"], tree.parents)
    np.testing.assert_array_equal(data["action"], tree.action_from_parent)
    priors = jax.nn.softmax(tree.children_prior_logits)
    nodes = tree.embeddings
    for node in range(25):
      up, k = data["parent"][node], data["action"][node]
      if node:
        step = nodes.tokens[up, k, : nodes.lengths[up, k]]
        assert data["steps"][up][k] == DECODE(step)
        assert data["reward"][node] == tree.children_rewards[up, k]
        q = data["reward"][node] + data["discount"][node] * data["value"][node]
        np.testing.assert_allclose(q, tree.qvalues(0 * up)[k] if not up else q)
      if data["steps"][node] and any(data["priors"][node]):
        np.testing.assert_allclose(
          data["priors"][node], priors[node], atol=1e-5
        )
      state = jax.tree.map(lambda x, n=node: x[n], nodes.state)
      ended = bool(state.terminated)
      assert (data["mark"][node] != "") == ended
      if ended and data["mark"][node] != "beyond":
        assert (data["mark"][node] == "illegal") == (not state.legal)
        assert (data["mark"][node] == "solved") == (state.reward >= 1)


def test_marks_are_those_of_the_walk():
  result = searched.result()
  seen = set()
  for row in range(searched.B):
    data = viewer.from_result(result, searched.TASK, row)
    problem = toy_task.problem_at(searched.problems(), row)
    walks = [toy_task.start(problem)]
    for node in range(1, len(data["parent"])):
      up = walks[data["parent"][node]]
      step = data["steps"][data["parent"][node]][data["action"][node]]
      walk = toy_task.move(
        problem, up, toy_task.TOKENIZER.encode(step), max_steps=3
      )
      walks.append(walk)
      seen.add(data["mark"][node])
      expected = "beyond" if up["over"] else ""
      if walk["over"] and not up["over"]:
        expected = "illegal" if not walk["legal"] else "end"
        expected = "solved" if walk["reward"] else expected
      if expected == "end":  # dead, or at the limit of steps
        assert data["mark"][node] in ("end", "truncated")
      else:
        assert data["mark"][node] == expected
  assert seen == {"", "solved", "illegal", "truncated", "end", "beyond"}


def test_replay_is_the_search_with_a_smaller_budget():
  # PUCT looks at nothing to come, so that its trees grow one into the next.
  whole = searched.result()
  for budget in (0, 1, 2, 5, 11, 18):
    early = searched.result(budget).tree
    for row in range(searched.B):
      data = viewer.from_result(whole, searched.TASK, row)
      visits, values = searched.replay(data, budget)
      np.testing.assert_array_equal(visits, early.node_visits[row])
      kept = visits > 0
      np.testing.assert_allclose(
        values[kept], early.node_values[row][kept], atol=1e-5
      )


@pytest.mark.parametrize("max_depth", [1, 2])
def test_states_seen_again_at_the_greatest_depth(max_depth):
  result = searched.result(max_depth=max_depth)
  for row in range(searched.B):
    data = viewer.from_result(result, searched.TASK, row)
    assert len(data["order"]) == 24 and len(data["parent"]) < 25
    assert_replays(data, result.tree, row)


def test_where_simulations_ended():
  # Node 2 stays empty: its simulation saw node 1 again.
  visits, parents = np.array([4, 2, 0, 1]), np.array([-1, 0, -1, 0])
  assert history.endings(visits, parents) == ([1, 1, 3], True)
  # Behind the last node, two leaves were seen again, who knows in which order.
  visits, parents = np.array([5, 2, 2, 0, 0]), np.array([-1, 0, 0, -1, -1])
  assert history.endings(visits, parents) == ([1, 2, 1, 2], False)
  visits, parents = np.array([1, 0]), np.array([-1, -1])
  assert history.endings(visits, parents) == ([], True)


@pytest.mark.parametrize("settings", [{"width": 4}, {"carry_over": True}])
def test_every_move_is_recorded(settings):
  config = search.SearchConfig(
    num_simulations=8,
    num_candidates=searched.K,
    policy=search.Gumbel(gumbel_scale=0.0),
    play_solution=False,
    **settings,
  )
  kept, problems = [], searched.problems()
  run = moves.moves(fake_model.apply_fn, searched.TASK, config)
  run = viewer.recorded(run, searched.TASK, kept)
  keys = jax.random.split(jax.random.key(1), searched.B)
  found = list(run(searched.PARAMS, keys, problems))
  for row in range(searched.B):
    side = kept[0].side(row, "walk")
    final = jax.tree.map(lambda x, row=row: np.asarray(x[row]), found[-1][1])
    steps = final.episode.steps[: final.episode.num_steps]
    lengths = final.episode.step_lengths
    texts = [DECODE(s[:n]) for s, n in zip(steps, lengths, strict=False)]
    assert side["played"] == "".join(texts)
    assert side["outcome"] == (
      "solved" if final.episode.solved else "not solved"
    )
    assert len(side["moves"]) == len(texts)  # a move plays one step
    context = side["moves"][0]["context"]
    for data, (move, _), text in zip(side["moves"], found, texts, strict=False):
      assert_replays(data, move.tree, row)
      node, action = data["line"][0]
      assert node == 0 and data["steps"][0][action] == text
      assert data["context"].startswith(context)
      context = data["context"] + text


def test_the_best_line_is_what_was_played():
  result = searched.result(play_solution=True, max_moves=3)
  assert np.asarray(result.solved).any()
  for row in range(searched.B):
    data = viewer.from_result(result, searched.TASK, row)
    line = "".join(data["steps"][node][k] for node, k in data["line"])
    if result.episode.on_solution[row, 0]:
      assert line == DECODE(result.solution(row))
      node, action = data["line"][-1]
      assert data["wins"][node][action]
    else:
      assert line.startswith(DECODE(result.solution(row))[:1])
    for (node, action), (below, _) in zip(
      data["line"], data["line"][1:], strict=False
    ):
      assert data["parent"][below] == node and data["action"][below] == action


def test_a_result_without_a_tree_is_refused():
  result = searched.result().replace(tree=None)
  with pytest.raises(ValueError, match="holds no tree"):
    viewer.from_result(result, searched.TASK)


def test_numbers_that_json_lacks():
  assert trees._floats(np.array([1.5, np.nan, np.inf])) == [1.5, None, None]
