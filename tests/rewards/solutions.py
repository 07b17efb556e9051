"""Random walks as solutions, for tests; see `toy_task`."""

import jax
import jax.numpy as jnp
import numpy as np
import toy_task

from alphallm import rewards, types
from alphallm.search import play


def random_walks(task, count, seed=0, *, one=False):
  """Return solutions of uniformly random steps, some illegal, and `solved`.

  Args:
    task: a `toy_task.Walk`.
    count: how many.
    seed: of all that is drawn.
    one: whether all are of one problem.
  """
  rng = np.random.default_rng(seed)
  problems = task.sample_numpy(rng, 1 if one else count)
  if one:
    problems = jax.tree.map(lambda x: np.repeat(x, count, 0), problems)
  letters = rng.choice(toy_task.LETTER_IDS, (count, task.max_steps, 2))
  two = rng.random((count, task.max_steps)) < 0.5
  tokens = np.zeros((count, task.max_steps, 3), np.int32)
  tokens[..., :2] = letters
  tokens[..., 2] = toy_task.NEWLINE
  tokens[~two, 1:] = [toy_task.NEWLINE, 0]
  lengths = np.where(two, 3, 2)

  def write(problem, tokens, lengths):
    depth = task.max_steps
    line = types.Line(
      tokens=tokens[:, None],
      lengths=lengths[:, None],
      actions=jnp.zeros((depth,), jnp.int32),
      weights=jnp.ones((depth, 1)),
      length=jnp.int32(depth),
      solves=jnp.bool_(False),
    )
    first = play.start(task, 1, problem)
    return play.play_line(task, first, line, jnp.zeros(())).episode

  @jax.jit
  def play_all(problems, tokens, lengths):
    episode = jax.vmap(write)(problems, tokens, lengths)
    return rewards.Solution.of(problems, episode), episode

  solution, episode = play_all(problems, tokens, lengths.astype(np.int32))
  return jax.tree.map(np.asarray, solution), np.asarray(episode.solved)
