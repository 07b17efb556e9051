"""A model in place of a task's rules: same problems, sizes and tokens."""

import dataclasses
from typing import Any, ClassVar, Literal

from alphallm.tasks import base


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StandIn(base.Task):
  """What a world model is to a search; subclasses say where steps lead.

  Attributes:
    task: in whose place it stands.
  """

  task: base.Task

  context: ClassVar[Literal["reset"]] = "reset"

  @property
  def tokenizer(self) -> Any:
    return self.task.tokenizer

  @property
  def max_prompt_tokens(self) -> int:
    return self.task.max_prompt_tokens

  @property
  def max_observation_tokens(self) -> int:
    return self.task.max_observation_tokens

  @property
  def max_step_tokens(self) -> int:
    return self.task.max_step_tokens

  @property
  def max_steps(self) -> int:
    return self.task.max_steps

  @property
  def delimiter_id(self) -> int:
    return self.task.delimiter_id

  def sample_numpy(self, rng, num_problems, split, **options):
    return self.task.sample_numpy(rng, num_problems, split, **options)

  def random_step(self, rng_key, state):
    raise NotImplementedError(f"{self.name}: no rule proposes steps")

  def read_problems(self, path):
    return self.task.read_problems(path)

  def describe(self, problem):
    return self.task.describe(problem)

  def text_corpus(self):
    return self.task.text_corpus()
