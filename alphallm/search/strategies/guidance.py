"""What scores a path: the seam between a strategy and what it believes in.

A guidance is a function of the arrays of a frontier, and what it must be told
for that. Every strategy takes any that makes sense for it, and refuses others
when it is made. Higher is better.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.search.strategies import paths as paths_lib
from alphallm.search.truncation import IMPOSSIBLE
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class Question:
  """What the model is asked about its own text.

  Attributes:
    tokens: of the question, behind the text.
    yes: the token that says that it is right.
    no: the token that says that it is not.
  """

  tokens: tuple[int, ...]
  yes: int
  no: int


@dataclasses.dataclass(frozen=True)
class Guidance:
  """How paths are scored.

  Attributes:
    name: for messages and tables.
    score: `Path -> [B, W]` float32. Those of dead paths are not looked at.
    needs_value: whether the network must have read a path first.
    needs_answer: whether it looks at `Path.answer`.
    needs_end: whether it tells nothing of paths that are under way; their score
      is then 0.
    needs_checker: whether it asks what solves the problem.
    is_share: whether scores lie in [0, 1], so that they can be added up.
    question: what the network is asked of each path that it reads (of those
      that are over, if `needs_end`), for `Path.belief`; None: nothing.
  """

  name: str
  score: Callable[[paths_lib.Path], chex.Array]
  needs_value: bool = False
  needs_answer: bool = False
  needs_end: bool = False
  needs_checker: bool = False
  is_share: bool = True
  question: Question | None = None


def log_prob(length_power: float = 0.0) -> Guidance:
  """Score by the log-probability of all steps.

  Args:
    length_power: the sum is divided by the number of tokens to this power: 0
      for the sum, 1 for the mean.
  """

  def score(path):
    return path.log_prob / _num_tokens(path) ** length_power

  return Guidance("log_prob", score, is_share=False)


def likelihood() -> Guidance:
  """Score by the geometric mean of the probabilities of a path's tokens."""
  return Guidance(
    "likelihood", lambda path: jnp.exp(path.log_prob / _num_tokens(path))
  )


def value() -> Guidance:
  """Score by the value head; where the checker may be asked, ends by theirs."""
  return Guidance("value", lambda path: path.value, needs_value=True)


def outcome(
  reward: Callable[[paths_lib.Path], chex.Array],
  *,
  name: str = "outcome",
  of_partial: bool = False,
  is_share: bool = True,
) -> Guidance:
  """Score by a reward of ours.

  Args:
    reward: of one path, `Path -> []` float32: pure `jnp` of its tokens, its
      lengths, the state of the task.
    name: of the reward.
    of_partial: whether it tells something of paths that are under way.
    is_share: whether it lies in [0, 1].
  """
  each = jax.vmap(jax.vmap(reward))

  def score(path):
    return each(path) if of_partial else jnp.where(path.over, each(path), 0.0)

  return Guidance(name, score, needs_end=not of_partial, is_share=is_share)


def checker() -> Guidance:
  """Score paths that are over by their true reward."""

  def score(path):
    return jnp.where(path.state.terminated, path.state.reward, 0.0)

  return Guidance("checker", score, needs_end=True, needs_checker=True)


def self_consistency() -> Guidance:
  """Score a path by the share of the answers that equal its own.

  Wang et al., 2023. Paths without an answer have no voice, and score 0.
  """

  def score(path):
    votes = (path.answer > 0).astype(jnp.float32)
    total = jnp.maximum(jnp.sum(votes, -1, keepdims=True), 1.0)
    return tally(path.answer, votes / total)

  return Guidance("self_consistency", score, needs_answer=True, needs_end=True)


def semantic_entropy() -> Guidance:
  """Score a path by the probability of what it means.

  Kuhn et al., 2023: the probability of a class of answers is that of all its
  texts. The logarithm is a path's part in the semantic entropy (see `entropy`),
  so that the path of the highest score surprises least.
  """

  def score(path):
    return tally(path.answer, _shares(path))

  return Guidance("semantic_entropy", score, needs_answer=True, needs_end=True)


def self_evaluation(
  tokenizer: Any,
  question: str = "\nIs this right so far? Answer Yes or No:",
  *,
  yes: str = " Yes",
  no: str = " No",
) -> Guidance:
  """Score by how sure the model is, if asked, that its text is right.

  P(yes) / (P(yes) + P(no)) of the token that follows the question (Kadavath et
  al., 2022). The tokens of the question are counted as any others.

  Args:
    tokenizer: of the task.
    question: follows the text.
    yes: an answer, one token.
    no: the other one.

  Raises:
    ValueError: if an answer is not one token of the vocabulary, or the question
      cannot be written in its tokens.
  """
  try:
    ids = tokenizer.id(yes), tokenizer.id(no)
    asked = written(tokenizer, question)
  except ValueError as error:
    raise ValueError(f"self_evaluation: {error}") from error
  return Guidance(
    "self_evaluation",
    lambda path: path.belief,
    needs_value=True,
    question=Question(tuple(asked), *ids),
  )


def written(tokenizer: Any, words: str) -> list[int]:
  """Return the tokens of words that the model is to read.

  Raises:
    ValueError: if the vocabulary cannot write them.
  """
  ids = tokenizer.encode(words)
  if tokenizer.decode(ids) != words:
    raise ValueError(f"{words!r} cannot be written in the model's tokens")
  return ids


def mix(*parts: tuple[float, Guidance]) -> Guidance:
  """Score by a weighted sum, `(weight, guidance), ...`.

  Raises:
    ValueError: if there is no part, or parts ask the model different things.
  """
  if not parts:
    raise ValueError("a mix of guidances needs at least one")
  some = lambda field: any(getattr(part, field) for _, part in parts)
  questions = {part.question for _, part in parts} - {None}
  if len(questions) > 1:
    raise ValueError("a mix of guidances asks the model one question, not more")
  total = sum(weight for weight, _ in parts)
  weighs = min(weight for weight, _ in parts) >= 0 and total <= 1 + 1e-6
  return Guidance(
    "+".join(f"{weight:g}*{part.name}" for weight, part in parts),
    lambda path: sum(weight * part.score(path) for weight, part in parts),
    needs_value=some("needs_value"),
    needs_answer=some("needs_answer"),
    needs_end=all(part.needs_end for _, part in parts),
    needs_checker=some("needs_checker"),
    is_share=weighs and all(part.is_share for _, part in parts),
    question=next(iter(questions), None),
  )


def tally(answers: chex.Array, weights: chex.Array) -> chex.Array:
  """Return the sum of the weights of equal answers, `[B, W]`.

  Args:
    answers: `[B, W]` uint32; 0 equals nothing.
    weights: `[B, W]` float32.
  """
  same = answers[:, :, None] == answers[:, None]
  same &= (answers > 0)[:, :, None]
  return jnp.sum(jnp.where(same, weights[:, None], 0.0), axis=-1)


def entropy(path: paths_lib.Path) -> chex.Array:
  """Return the semantic entropy of the answers of B problems, in nats.

  −Σ_c p(c) log p(c) over classes c of equal answers, where p(c) is the sum of
  the probabilities of the texts sampled, which are made to sum to 1, as the
  geometric means of those of their tokens (Kuhn et al., 2023; Farquhar et al.,
  2024). 0 where there is no answer.

  Args:
    path: `[B, W]`, with answers.
  """
  shares = _shares(path)
  classes = tally(path.answer, shares)
  return -jnp.sum(shares * jnp.log(jnp.where(classes > 0, classes, 1.0)), -1)


def check(
  strategy: str,
  guidance: Guidance,
  task: base.Task,
  permission: str,
  *,
  of_partial: bool,
) -> None:
  """Raise unless a guidance makes sense for a strategy.

  Args:
    strategy: its name.
    guidance: what it is to follow.
    task: the environment.
    permission: what may be asked.
    of_partial: whether the strategy scores paths that are under way.

  Raises:
    ValueError: one line that names the reason.
  """
  told = f"{strategy} by {guidance.name}"
  if of_partial and guidance.needs_end:
    raise ValueError(
      f"{told}: it tells nothing of a path that is under way, of which "
      f"{strategy} must choose; mix it with one that does"
    )
  if guidance.needs_checker and permission != "checker":
    raise ValueError(
      f"{told}: permission={permission!r} may not ask the checker"
    )
  if guidance.needs_answer and permission == "checker":
    raise ValueError(
      f"{told}: who may ask the checker needs no votes; give permission 'rules'"
    )
  if guidance.question and task.context == "reset":
    raise ValueError(
      f"{told}: the context of {task.name} is reset at every step, so that no "
      "text stands there to be judged"
    )
  answers = task.max_observation_tokens > 0
  if guidance.needs_answer and permission == "nothing" and answers:
    raise ValueError(
      f"{told}: which paths of {task.name} end alike is known to its rules; "
      "give permission 'rules'"
    )


def refuse(strategy: str, guidance: Guidance | None) -> None:
  """Raise if a strategy that compares nothing is given a guidance."""
  if guidance is not None:
    raise ValueError(
      f"{strategy} by {guidance.name}: {strategy} follows the policy alone and "
      "compares no paths"
    )


def _num_tokens(path: paths_lib.Path) -> chex.Array:
  return jnp.maximum(jnp.sum(path.lengths, axis=-1), 1).astype(jnp.float32)


def _shares(path: paths_lib.Path) -> chex.Array:
  """Return the probabilities of texts with answers, made to sum to 1."""
  mean, votes = path.log_prob / _num_tokens(path), path.answer > 0
  weights = jax.nn.softmax(jnp.where(votes, mean, IMPOSSIBLE), axis=-1)
  return jnp.where(votes, weights, 0.0)


NONE = Guidance("nothing", lambda path: jnp.zeros_like(path.log_prob))
