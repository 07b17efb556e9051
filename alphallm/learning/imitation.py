"""Episodes of worked answers: supervised tuning by the learner of self-play."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import types
from alphallm.search import play
from alphallm.tasks import questions as questions_lib


def episodes(
  task: questions_lib.Questions,
  questions: Sequence[questions_lib.Question],
  num_targets: int,
) -> tuple[types.Episode, chex.Array]:
  """Play the solutions that come with questions, step by step.

  Args:
    task: cuts them into steps, and judges them.
    questions: with their solutions.
    num_targets: J, of which candidates the first is the step to imitate.

  Returns:
    Episodes `[n, ...]`, and which of them the task calls solved, `[n]` bool. Of
    a solution with more steps than the task allows, the rest is left out.
  """
  lines = [_line(task, question, num_targets) for question in questions]
  lines = jax.tree.map(lambda *rows: np.stack(rows), *lines)

  def imitate(problem, line):
    trace = play.start(task, num_targets, problem)
    return play.play_line(task, trace, line, jnp.zeros(())).episode

  played = jax.jit(jax.vmap(imitate))(task.pose(questions), lines)
  return played, played.solved


def _line(task, question, num_targets: int) -> types.Line:
  """Return a solution as a line of steps; what has no room is cut off."""
  m, t = task.max_steps, task.max_step_tokens
  tokens = np.zeros((m, num_targets, t), np.int32)
  lengths = np.zeros((m, num_targets), np.int32)
  step, stops = 0, set(task.stop_ids)
  for token in task.encode_solution(question):
    if step == m:
      break
    tokens[step, 0, lengths[step, 0]] = token
    lengths[step, 0] += 1
    step += token in stops or lengths[step, 0] == t
  is_step = lengths[:, 0] > 0
  return types.Line(
    tokens=tokens,
    lengths=lengths,
    actions=np.zeros(m, np.int32),
    weights=np.eye(num_targets, dtype=np.float32)[[0] * m] * is_step[:, None],
    length=np.int32(is_step.sum()),
    solves=np.bool_(True),
  )
