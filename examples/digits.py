"""The problem of the examples: write digits that add up to a number.

A prompt is a number from 1 to 27 and a colon, a step is one token, and a text
is over after three of them. It is worth 1 if they are digits with the right
sum. The networks of the examples are random: what is solved, search solves.
"""

import jax
import jax.numpy as jnp
import numpy as np

from alphallm import search, tasks, tokenizer

TOKENIZER = tokenizer.Tokenizer.train(["0123456789:"])
DIGITS = np.array([TOKENIZER.id(str(digit)) for digit in range(10)])


def reward(problem, tokens, length):
  """Return 1 for digits with the right sum, in pure `jnp`."""
  is_digit = tokens[:, None] == DIGITS[None]
  total = jnp.sum(jnp.where(is_digit, jnp.arange(10)[None], 0))
  right = (total == problem.answer) & jnp.all(jnp.any(is_digit, axis=1))
  return jnp.where(length == 3, right, False).astype(jnp.float32)


TASK = tasks.Text(
  tokenizer=TOKENIZER,
  max_prompt_tokens=3,
  max_step_tokens=1,
  max_steps=3,
  reward=reward,
)


def show(apply_fn, params) -> None:
  """Solve all problems by the network alone and by search, and print both."""
  numbers = np.arange(1, 28)
  problems = TASK.problems([f"{n}:" for n in numbers], numbers)
  for simulations in (0, 8, 64):
    run = search.mcts(
      apply_fn, TASK, num_simulations=simulations, num_candidates=8
    )
    result = jax.jit(run)(params, jax.random.key(0), problems)
    text = repr(TOKENIZER.decode(result.solution(14)))
    print(
      f"{simulations:2d} simulations a step: {np.mean(result.solved):4.0%} "
      f"solved, {np.mean(result.cost.nodes):5.1f} nodes a problem; "
      f"15: {text}, value {result.value[14]:.2f}"
    )
