"""Revision of free text: the model sees its answer and feedback, and rewrites.

What `revision` is for steps that can be kept, this is for text that is written
anew as a whole.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, outcome
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.strategies import settings as settings_lib
from alphallm.search.strategies import writer as writer_lib
from alphallm.tasks import packing, text

DOUBT = "\nThat is wrong. Here is a better answer:\n"
CHECK = "\nThat may be right. Here is the answer, checked:\n"


def rewriting(
  apply_fn: network.Network,
  task: text.Text,
  *,
  num_revisions: int = 3,
  num_chains: int = 1,
  doubt: str = DOUBT,
  check: str = CHECK,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  y_{i+1} ~ π(prompt, y_i, feedback) (Madaan et al., 2023; Snell et al., 2024).
  Of all answers of all chains the best is the answer; where the checker may be
  asked, a problem rests once one is right.

  Args:
    apply_fn: the network, which must have room for a prompt, an answer and the
      feedback.
    task: free text, in plain prompts.
    num_revisions: R, of each first answer.
    num_chains: N that do not know of each other; above 1, best-of-N of
      revisions.
    doubt: what follows an answer that the guidance scores below 0.5.
    check: what follows any other.
    guidance: what gives feedback and chooses: the checker, the value, the model
      itself (`self_evaluation`); `None`: the value head.
    **settings: of `Settings`, but for `num_candidates`.

  Raises:
    ValueError: if the task is not of free text, or in the form of a chat, a
      number is too small, the feedback cannot be written in its tokens, or the
      guidance makes no sense here.
  """
  if not isinstance(task, text.Text):
    raise ValueError(
      f"rewriting: {task.name} is no free text; `revision` is for its steps"
    )
  if getattr(task, "as_chat", False):
    raise ValueError(
      "rewriting: a chat asks for feedback in turns, which plain text is not"
    )
  if num_revisions < 0 or num_chains < 1:
    raise ValueError(
      f"num_revisions={num_revisions}, num_chains={num_chains}: at least 0 and "
      "1 are needed"
    )
  guidance, settings = settings_lib.guided(
    "rewriting",
    guidance,
    task,
    settings | {"num_candidates": 1},
    of_partial=False,
  )
  if not guidance.is_share:
    raise ValueError(
      f"rewriting by {guidance.name}: its scores are not from 0 to 1, so that "
      "none of them is a doubt"
    )
  guidance = dataclasses.replace(guidance, needs_end=True)
  try:
    feedback = [
      guidance_lib.written(task.tokenizer, words) for words in (doubt, check)
    ]
  except ValueError as error:
    raise ValueError(f"rewriting: {error}; give other feedback") from error
  room = task.max_prompt_tokens + task.max_response_tokens
  wide = dataclasses.replace(
    task, max_prompt_tokens=room + max(map(len, feedback))
  )
  write = layers.strategy(
    apply_fn, wide, settings, guidance, width=1, num_open=1
  )

  def run(params: Any, rng_key: chex.PRNGKey, problems: text.Problem):
    batch = problems.length.shape[0]
    rng_keys = play.keys_of(rng_key, problems)
    chains = jnp.repeat(jnp.arange(batch), num_chains)
    fold = jax.vmap(jax.random.fold_in)
    keys = fold(rng_keys[chains], jnp.arange(batch * num_chains) % num_chains)
    asked = jax.tree.map(lambda x: jnp.asarray(x)[chains], problems)
    widen = wide.max_prompt_tokens - task.max_prompt_tokens
    first = asked.replace(tokens=jnp.pad(asked.tokens, ((0, 0), (0, widen))))

    def grouped(x):  # [B x N, ...] -> [B, N, ...]
      return x.reshape(batch, num_chains, *x.shape[1:])

    def attempt(carry, time):
      prompt, rests = carry
      result = write(params, fold(keys, jnp.full_like(chains, time)), prompt)
      path = jax.tree.map(lambda x: grouped(x[:, 0]), result.paths)
      path = paths_lib.reject(path, rests)
      cost = jax.tree.map(
        lambda x: jnp.sum(jnp.where(rests, 0, grouped(x)), axis=1), result.cost
      )
      follow = jax.vmap(lambda *args: _prompt(wide, feedback, *args))
      prompt = follow(asked, jax.tree.map(lambda x: x[:, 0], result.paths))
      solved = jnp.any(path.finished & path.solved, axis=1, keepdims=True)
      return (prompt, rests | (solved & settings.checks)), (path, cost)

    _, (path, cost) = jax.lax.scan(
      attempt,
      (first, jnp.zeros((batch, 1), bool)),
      jnp.arange(1 + num_revisions),
    )
    # [R + 1, B, N, ...] -> [B, (R + 1) x N, ...]
    total = (1 + num_revisions) * num_chains
    path = jax.tree.map(
      lambda x: jnp.moveaxis(x, 0, 1).reshape(batch, total, *x.shape[3:]), path
    )
    cost = jax.tree.map(lambda x: jnp.sum(x, axis=0), cost)
    writer = writer_lib.Writer(apply_fn, params, wide, settings, guidance)
    index, value = outcome.best(writer, path)
    return outcome.tell(task, problems, path, index, value, cost)

  return run


def _prompt(task, feedback, problem, path) -> text.Problem:
  """Return one problem whose prompt tells its last answer, and feedback."""
  inner = path.state.inner
  words = [jnp.asarray(ids, jnp.int32) for ids in feedback]
  size = max(len(ids) for ids in feedback)
  words = jnp.stack([jnp.pad(ids, (0, size - len(ids))) for ids in words])
  sizes = jnp.asarray([len(ids) for ids in feedback])
  which = ((path.score >= 0.5) & path.lives).astype(jnp.int32)
  parts = (
    (problem.tokens, problem.length),
    (inner.response, inner.length),
    (words[which], sizes[which]),
  )
  tokens = jnp.concatenate([part for part, _ in parts])
  held = [jnp.arange(part.shape[0]) < length for part, length in parts]
  # What ends a text would end the prompt.
  held[1] &= ~jnp.isin(inner.response, jnp.asarray(task.end_ids))
  tokens, length = packing.pack(tokens, jnp.concatenate(held))
  return problem.replace(tokens=tokens, length=length.astype(jnp.int32))
