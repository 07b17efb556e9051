"""A search in words, for a person to read."""

from typing import Any

import jax
import numpy as np

from alphallm import config as config_lib
from alphallm.search import play, tree_search


def example(
  run: config_lib.Run,
  search: tree_search.SearchConfig,
  params: Any,
  problems: Any,
  *,
  most_moves: int = 3,
) -> str:
  """Solve one of the problems, and tell how the search saw its first moves.

  The problem is the first, among the first 32, whose solution the root of the
  tree did not see at once.
  """
  count = min(32, jax.tree.leaves(problems)[0].shape[0])
  problems = jax.tree.map(lambda x: np.asarray(x)[:count], problems)
  keys = jax.random.split(jax.random.key(run.seed), count)
  result = jax.jit(
    lambda p, k, x: play.solve(run.model.apply, run.task, search, p, k, x)
  )(params, keys, problems)
  solved = np.asarray(result.solved) & (
    np.asarray(result.episode.num_steps) > 2
  )
  chosen = int(np.argmax(solved))
  problem = jax.tree.map(lambda x: x[chosen : chosen + 1], problems)

  task = run.task
  trace = jax.vmap(lambda p: play.start(task, search.num_candidates, p))(
    problem
  )
  step = jax.jit(
    lambda p, k, t: tree_search.search(
      run.model.apply, task, search, p, k, t.state, t.context
    )
  )
  advance = jax.jit(jax.vmap(lambda *args: play.play_line(task, *args)))
  first = jax.tree.map(lambda x: x[0], problem)
  lines = [f"One problem: {task.describe(first)}"]
  for move in range(most_moves):
    if bool(trace.state.terminated[0]):
      break
    fold = jax.random.fold_in(keys[chosen], move)
    found = step(params, fold[None], trace)
    lines += _move(task, trace, found, move)
    trace = advance(trace, found.line, found.value)
  episode = jax.tree.map(lambda x: np.asarray(x[0]), trace.episode)
  text = " ".join(
    task.tokenizer.decode(episode.steps[i, : episode.step_lengths[i]]).strip()
    for i in range(episode.num_steps)
  )
  verdict = "solved" if bool(trace.episode.solved[0]) else "not solved so far"
  lines.append(f"Played: {text} — {verdict}.")
  return "\n".join(lines)


def _move(task, trace, found: tree_search.Move, move: int) -> list[str]:
  """Return the lines that tell of one move's search."""
  tree = found.tree
  context = np.asarray(trace.context.tokens[0])[: int(trace.context.lengths[0])]
  root = tree.ROOT_INDEX
  visits = np.asarray(tree.children_visits[0, root])
  priors = np.asarray(jax.nn.softmax(tree.children_prior_logits[0, root]))
  qvalues = np.asarray(tree.qvalues(np.zeros(1, np.int32))[0])
  tokens = np.asarray(tree.embeddings.tokens[0, root])
  lengths = np.asarray(tree.embeddings.lengths[0, root])
  invalid = np.asarray(tree.root_invalid_actions[0]) > 0
  lines = [
    f"Move {move + 1}: the policy reads "
    f"{task.tokenizer.decode(context).strip()!r}; value "
    f"{float(found.raw_value[0]):.2f} before the search, "
    f"{float(found.value[0]):.2f} after it ({int(visits.sum())} simulations)."
  ]
  for k in np.argsort(-priors, kind="stable"):
    if invalid[k]:
      continue
    step = task.tokenizer.decode(tokens[k, : lengths[k]]).strip()
    looked = f"visited {visits[k]} times, Q {qvalues[k]:.2f}"
    lines.append(
      f"  {step}: prior {priors[k]:.2f}, "
      + (looked if visits[k] else "not visited")
    )
  if invalid.all():
    return [*lines, "  No candidate is legal: the first is played."]
  line = jax.tree.map(lambda x: np.asarray(x[0]), found.line)
  chosen = []
  for i in range(line.length):
    step = line.tokens[i, line.actions[i]]
    length = line.lengths[i, line.actions[i]]
    chosen.append(task.tokenizer.decode(step[:length]).strip())
  if bool(found.line.solves[0]):
    lines.append(f"  A solution stands in the tree: {' '.join(chosen)}")
  else:
    lines.append(f"  Chosen: {chosen[0]}")
  return lines
