"""Asking a language model: questions in, answers out, a step at a time."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tasks, types
from alphallm.search import policies, search_config, tree_search
from alphallm.tasks import answers
from alphallm.tasks import questions as questions_lib
from alphallm.tokenizer import stream

_ROUND = 64  # lengths of prompts are multiples: fewer programs to compile


@dataclasses.dataclass
class Answer:
  """The answer to a question, as it grows.

  Attributes:
    question: what was asked.
    steps: each with its `text`, its `value` in [0, 1], its `visits`, and the
      `seconds` after which it stood there.
    cost: what was spent, as of `types.Cost`.
    text: all that was said.
    right: whether it is the right answer; None where that is not known.
  """

  question: str
  steps: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  cost: dict[str, int] = dataclasses.field(default_factory=dict)
  text: str = ""
  right: bool | None = None

  @property
  def answer(self) -> str:
    """What the text marks as its answer, or else its last line."""
    if answers.MARK in self.text or answers.last_boxed(self.text):
      return answers.extract(self.text) or ""
    return (self.text.strip().splitlines() or [""])[-1]

  def add(self, step: dict[str, Any], cost: types.Cost, row: int) -> None:
    """Add a step, and what the batch's search for it has cost this row."""
    self.steps.append(step)
    self.text += step["text"]
    for name, spent in cost.items():
      self.cost[name] = self.cost.get(name, 0) + int(spent[row])

  def describe(self) -> str:
    """Return the question, the answer and its cost in words."""
    verdict = {None: "", True: " (right)", False: " (wrong)"}[self.right]
    cost = self.cost
    return (
      f"question: {self.question}\nanswer: {self.answer}{verdict}\n"
      f"cost: {cost['decoded']} tokens decoded, {cost['prefilled']} prefilled,"
      f" {cost['model_calls']} passes of the model, {cost['nodes']} nodes"
    )


def make_task(
  tokenizer: Any,
  asked: Sequence[questions_lib.Question],
  *,
  max_context: int | None,
  step_tokens: int,
  max_steps: int,
  **options: Any,
) -> tasks.Questions:
  """Return the task of answering some questions, which scores none of them.

  Args:
    tokenizer: of the model.
    asked: the questions, whose longest decides on the size of prompts.
    max_context: tokens that the model can read; None if that is not known.
    step_tokens: most tokens of a step.
    max_steps: most steps of an answer.
    **options: of `tasks.Questions`.

  Raises:
    ValueError: one line, if a question is too long or cannot be put.
  """
  make = lambda size: tasks.Questions(
    tokenizer=tokenizer,
    max_prompt_tokens=size,
    max_step_tokens=step_tokens,
    max_steps=max_steps,
    reward=lambda problem, tokens, length: jnp.zeros(()),
    **options,
  )
  task = make(_ROUND)
  longest = max(len(task.encode(question)) for question in asked)
  size = math.ceil(longest / _ROUND) * _ROUND
  if max_context is not None:
    room = max_context - task.max_response_tokens
    if longest > room:
      raise ValueError(
        f"a question of {longest} tokens and {max_steps} steps of "
        f"{step_tokens} do not fit into the {max_context} tokens that the "
        "model reads: shorten it, or lower --max_steps or --step_tokens"
      )
    size = min(size, room)
  return make(size)


def make_search(
  *,
  simulations: int,
  candidates: int,
  temperature: float,
  step_tokens: int,
  has_value: bool,
) -> search_config.SearchConfig:
  """Return the search for a step, which asks nothing but the model.

  Args:
    simulations: of a step; 0: the model just writes.
    candidates: to choose a step from.
    temperature: of the tokens; 0: the most probable.
    step_tokens: most tokens of a step.
    has_value: whether the value head of the model was trained; else steps are
      valued by how likely they are.
  """
  if not simulations:  # One, which passes the one candidate.
    simulations = candidates = 1
  return search_config.SearchConfig(
    num_simulations=simulations,
    num_candidates=candidates,
    max_depth=simulations,
    permission="nothing",
    policy=policies.Gumbel(gumbel_scale=0.0),
    discount=1.0,
    noise=temperature > 0,
    candidate_temperature=temperature or 1.0,
    # That they were drawn speaks for candidates already, and long ones are
    # the less probable.
    prior_temperature=float(step_tokens),
    leaf_value="network" if has_value else "likelihood",
    carry_over=True,
    width=min(candidates, simulations),
  )


def ask(
  run: Callable[..., Iterable[tuple[tree_search.Move, Any]]],
  params: Any,
  task: tasks.Questions,
  asked: Sequence[questions_lib.Question | None],
  rng_key: chex.PRNGKey,
  *,
  began: float,
) -> list[Answer]:
  """Answer a batch of questions; print each step as soon as it is chosen.

  Args:
    run: the search, of `alphallm.search.moves`.
    params: of the network.
    task: of the questions.
    asked: B questions; those that are None fill the batch, and are not told.
    rng_key: of the batch (consumed).
    began: when time began, of `time.monotonic`.
  """
  posed = [question or asked[0] for question in asked]
  problems = task.pose([dataclasses.replace(q, answer="") for q in posed])
  asked = [question for question in asked if question is not None]
  found = [Answer(question.question) for question in asked]
  texts = [stream.Stream(task.tokenizer) for _ in found]
  keys = jax.random.split(rng_key, len(posed))
  over = np.zeros(len(posed), bool)
  with _Ticker() as ticker:
    for move, trace in run(params, keys, problems):
      ticker.wait(move.value)
      for row, (answer, text) in enumerate(zip(found, texts, strict=True)):
        if over[row]:
          continue
        step = _chosen(move, row, text)
        answer.add(step | {"seconds": time.monotonic() - began}, move.cost, row)
        if step["text"].strip():
          which = f"[{row + 1}] " if len(found) > 1 else ""
          line = step["text"].strip("\n")
          ticker.print(f"  {step['value']:.2f}  {which}{line}")
      over = np.asarray(trace.state.terminated)
      if over[: len(found)].all():
        break
  for answer, text in zip(found, texts, strict=True):
    answer.text += text.finish()
  _check(found, asked)
  return found


def _chosen(move: tree_search.Move, row: int, text: stream.Stream):
  """Return the step that a search has chosen."""
  line, tree = move.line, move.tree
  action = int(line.actions[row, 0])
  tokens = np.asarray(line.tokens[row, 0, action])
  root = np.zeros(tree.node_visits.shape[0], np.int32)
  return {
    "text": text.feed(tokens[: int(line.lengths[row, 0, action])]),
    "value": float(tree.qvalues(root)[row, action]),
    "visits": int(tree.children_visits[row, 0, action]),
  }


def _check(found: list[Answer], asked) -> None:
  """Note which answers are right, of questions whose answers are known."""
  known = [
    (answer, question.answer)
    for answer, question in zip(found, asked, strict=True)
    if question.answer
  ]
  right = answers.equal(
    [gold for _, gold in known],
    [answers.extract(answer.text) for answer, _ in known],
  )
  for (answer, _), verdict in zip(known, right, strict=True):
    answer.right = verdict


class _Ticker:
  """Shows on a terminal that a search is under way."""

  def __init__(self):
    self._shows = sys.stderr.isatty()
    self._began = time.monotonic()

  def __enter__(self):
    self._write("the first search is compiled, or comes from the cache ...")
    return self

  def __exit__(self, *unused):
    self._write("")

  def wait(self, array: jax.Array) -> None:
    """Wait for an array, telling how long that takes."""
    while self._shows and not array.is_ready():
      self._write(f"searching, {time.monotonic() - self._began:.0f} s")
      time.sleep(0.1)
    array.block_until_ready()

  def print(self, line: str) -> None:
    self._write("")
    print(line, flush=True)

  def _write(self, line: str) -> None:
    if self._shows:
      sys.stderr.write(f"\r\033[K{line}")
      sys.stderr.flush()
