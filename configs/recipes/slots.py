"""A run as a choice in each of five slots; each recipe is such a choice.

--config configs/recipes/NAME.py:TASK         e.g. alphazero.py:countdown
--config configs/recipes/NAME.py:TASK,SIZE    `full`, `small`, or `ci`: seconds

TASK is `countdown` (3 numbers), `blocks_world` (3 and 4 blocks), `game24`,
`programs` (small Python functions with unit tests), or `arithmetic`, with a
pretrained language model: --config.model.pretrained=PATH.
The slots are those of arXiv:2412.14135: initialization, reward, training
search, learning, test search.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from alphallm.initialization import prompts
from configs import countdown, game24, quickstart, smollm2_arithmetic
from configs.recipes import first_policies

_TASKS = (*first_policies.RESET, "programs", "arithmetic")
_SIZES = ("full", "small", "ci")


@dataclasses.dataclass(frozen=True)
class Choice:
  """What stands in a slot.

  Attributes:
    words: how the tables name it.
    apply: `(config, task, size)`, makes the choice in a config.
  """

  words: str
  apply: Callable[[Any, str, str], None]


def get_config(
  problems: str,
  *,
  initialization: Choice,
  reward: Choice,
  training_search: Choice,
  learning: Choice,
  test_search: Choice,
):
  """Return the config of a choice; `problems` is TASK or TASK,SIZE."""
  task, _, size = problems.partition(",")
  size = size or "full"
  if task not in _TASKS or size not in _SIZES:
    raise ValueError(
      f"{problems!r} is no TASK,SIZE of {', '.join(_TASKS)} and "
      f"{', '.join(_SIZES)}"
    )
  config = _common(task, size)
  chosen = dict(
    initialization=initialization,
    reward=reward,
    training_search=training_search,
    learning=learning,
    test_search=test_search,
  )
  config.slots = {slot: choice.words for slot, choice in chosen.items()}
  for choice in chosen.values():
    choice.apply(config, task, size)
  return config


def _common(task: str, size: str):
  """Return what the recipes of a task have in common."""
  if task == "arithmetic":
    return smollm2_arithmetic.get_config("tiny" if size == "ci" else "full")
  if task == "blocks_world":
    config = quickstart.get_config()
    config.task.max_blocks = 3 if size == "ci" else 4
    config.search.max_depth = 8
  elif task == "programs":
    config = quickstart.get_config()
    config.task = dict(
      kind="Programs",
      max_operations=2,  # in a row
      num_tests=4,  # of each function
      max_steps=6,  # lines
    )
    config.search.update(max_depth=6, discount=1.0)
  else:
    module = {"countdown": countdown, "game24": game24}[task]
    config = module.get_config("tiny")
  config.search.rules_propose = False  # the first policy knows the rules
  config.learner.augment = False
  if size == "small":
    config.search.num_simulations = 8
    config.selfplay.update(num_slots=64, num_moves=4)
    config.learner.update(min_examples=500, decay_steps=1_000)
    config.train.update(num_iterations=20, eval_simulations=8)
  if size == "ci":
    config.model.update(num_layers=1, embed_dim=16, num_heads=2, mlp_dim=32)
    config.model.update(num_kv_heads=1, head_dim=8)
    config.search.update(num_simulations=2, num_candidates=2, shrink=0)
    config.selfplay.update(num_slots=8, num_moves=2)
    config.learner.update(batch_size=8, warmup_steps=2, decay_steps=8)
    config.learner.update(capacity=256, min_examples=1, max_steps=2)
    config.train.update(num_iterations=2, evaluate_every=2, checkpoint_every=2)
    config.train.update(num_eval_problems=8, eval_simulations=2)
    config.train.eval_batch_size = 8
  return config


def _nothing(config, task, size):
  del config, task, size


NOTHING = Choice("–", _nothing)


# Initialization.

RULES = Choice("rules only", first_policies.rules)
SUPERVISED = Choice("supervised", first_policies.supervised)
THOUGHTS = Choice("supervised, long thoughts", first_policies.thoughts)
TITLED_STEPS = Choice("prompt", first_policies.prompt(prompts.steps))
MONOLOGUE = Choice("prompt", first_policies.prompt(prompts.monologue))


# Reward.


def _model(kind, weight=1.0):
  """Return what pays by a reward model, and the rest by the environment."""

  def apply(config, task, size):
    ci = size == "ci"
    config.train_reward = dict(
      kind=kind,
      num_rollouts=2 if ci else 8,  # from each prefix, for its label
      num_problems=16 if ci else 500,  # of the train split
      num_samples=4,  # solutions of each
      rules_propose=task
      in first_policies.RESET,  # where the policy knows no legal step
      num_held_out=8 if ci else 128,  # problems of the test split
      fit=dict(
        num_steps=4 if ci else 500,  # of the optimizer
        batch_size=8 if ci else 128,  # examples
        learning_rate=1e-3,  # peak, of AdamW
      ),
    )
    config.reward = dict(kind="model")
    if weight < 1:
      config.reward = dict(
        kind="mixture",
        parts=(
          dict(kind="model", weight=weight),
          dict(kind="outcome", weight=1 - weight),
        ),
      )

  return apply


def _confidence(config, task, size):
  del task, size
  config.reward = dict(kind="confidence")


OUTCOME = Choice("outcome", _nothing)
OUTCOME_MODEL = Choice("outcome model", _model("outcome"))
PROCESS = Choice("process", _model("process"))
PROCESS_AND_OUTCOME = Choice("process + outcome", _model("process", 0.5))
CONFIDENCE = Choice("token confidence", _confidence)


# Training search.


def _no_training(config, task, size):
  del task, size
  config.train.num_iterations = 0


def _sampling(oversample=1):
  def apply(config, task, size):
    del task
    config.selfplay.update(player="policy", group_size=4)
    whole = config.task.get("max_steps") == 1
    if not whole and size != "ci":
      config.selfplay.num_moves = 8
    config.train.oversample = oversample

  return apply


def _beam(config, task, size):
  """Play by beams, which the process reward guides where it can."""
  _guided_tree(config, task, size)
  config.selfplay.update(
    player="beam",
    budget=2 if size == "ci" else 8,  # steps sampled at a depth
    guidance="process_reward" if task in first_policies.RESET else "value",
    group_size=4,
    num_moves=1 if size == "ci" else 4,
  )


def _guided_tree(config, task, size):
  """Let the process reward value states, and the network's value, half each.

  A search shows it states; where contexts append these are not the whole text
  that it reads.
  """
  del size
  if task not in first_policies.RESET:
    return
  config.search.process_reward = {}  # that of the first policy
  config.search.process_weight = 0.5  # against the network's value


NO_SEARCH = Choice("–", _no_training)
SAMPLING = Choice("sampling", _sampling())
SAMPLING_HARD = Choice("sampling, more on hard problems", _sampling(2))
BEAM = Choice("beam", _beam)
TREE = Choice("MCTS", _nothing)
GUIDED_TREE = Choice("MCTS", _guided_tree)


# Learning.


def _learner(config, kind, **options):
  for name in ("learn_from", "failure_share"):  # of AlphaZero
    if name in config.learner:
      del config.learner[name]
  config.learner.update(kind=kind, **options)


def _augment(config, task):
  """Show each use of an example under a symmetry, if the task has any."""
  has_any = task in first_policies.RESET and config.task.kind != "Thoughts"
  config.learner.augment = has_any


def _alphazero(config, task, size):
  del size
  _augment(config, task)
  if config.selfplay.get("player") == "policy":  # there are no trees
    config.learner.learn_from = "solved"


def _cloning(config, task, size):
  del size
  _augment(config, task)
  paid = "reward" in config
  chosen = dict(learn_from="best", most_per_problem=1, least_reward=0.1)
  _learner(config, "Cloning", **(chosen if paid else dict(learn_from="solved")))
  if paid:
    config.selfplay.group_size = 4


def _ppo(config, task, size):
  del task, size
  _learner(config, "PPO", clip=0.2, gae_lambda=0.95, entropy_weight=0.003)
  config.learner.update(max_age=1, reuse=4.0, min_examples=1)
  config.selfplay.group_size = config.selfplay.get("group_size", 1)
  # Few attempts are paid for: larger steps than these forget the rules.
  config.learner.learning_rate = config.learner.learning_rate / 20
  config.learner.batch_size *= 2
  if "kl_weight" not in config.learner:
    config.learner.kl_weight = 0.1  # holds the policy to the first one
  config.search.play_solution = False


def _dpo(config, task, size):
  del task, size
  _learner(config, "DPO", beta=0.1)
  config.learner.update(max_age=4, reuse=4.0, min_examples=1)
  config.learner.learning_rate = config.learner.learning_rate / 4
  config.search.play_solution = False


def _cloning_and_dpo(config, task, size):
  """Take turns: cloning, DPO, cloning, DPO."""
  _dpo(config, task, size)
  # What few attempts solve is soon learned by heart.
  config.learner.learning_rate = config.learner.learning_rate / 5
  rounds = max(1, config.train.num_iterations // 4)
  clone = dict(
    num_iterations=rounds,
    learner=dict(kind="Cloning", learn_from="solved", max_age=0),
  )
  prefer = dict(
    num_iterations=rounds,
    learner=dict(kind="DPO", beta=0.1),
  )
  config.before = (clone, prefer, clone)


CLONING = Choice("cloning", _cloning)
PPO = Choice("PPO", _ppo)
DPO = Choice("DPO", _dpo)
CLONING_AND_DPO = Choice("cloning and DPO, repeated", _cloning_and_dpo)
ALPHAZERO = Choice("AlphaZero", _alphazero)


# Test search.


def _test(*methods, **budgets):
  def apply(config, task, size):
    del task
    config.evaluation = dict(methods=methods)
    if budgets:
      config.evaluation.budgets = (budgets[size],)

  return apply


def _test_guided(config, task, size):
  _guided_tree(config, task, size)
  TEST_TREE.apply(config, task, size)


TEST_GREEDY = Choice("greedy", _test("greedy"))
TEST_SAMPLING = Choice("sampling", _test("sampled"))
TEST_TREE = Choice("MCTS", _test("mcts", full=16, small=8, ci=2))
TEST_GUIDED_TREE = Choice("MCTS", _test_guided)
