"""What is refused of learners, and what their configs make."""

import importlib
import pathlib

import pytest

from alphallm import config
from alphallm.learning import kinds

BEAM = {"selfplay.player": "beam", "selfplay.budget": 4}
MODEL = {"workdir": "W", "name": "process"}
CONFIDENCE = {"kind": "confidence"}
SHAPED = {"kind": "outcome", "shaping": "value"}
CONFIGS = pathlib.Path(__file__).parents[2] / "configs" / "learners"
NAMES = sorted(
  path.stem
  for path in CONFIGS.glob("*.py")
  if path.stem not in ("__init__", "base")
)


def load(name, problems="tiny"):
  module = importlib.import_module(f"configs.learners.{name}")
  return module.get_config(problems)


@pytest.mark.parametrize(
  "problems",
  [
    "tiny",
    pytest.param("blocks_world", marks=pytest.mark.slow),
    pytest.param("countdown", marks=pytest.mark.slow),
  ],
)
def test_configs_make_runs(problems):
  for name in NAMES:
    config.make_stages(load(name, problems))


def test_every_kind_has_a_config():
  used = {load(name).learner.kind for name in NAMES}
  assert used == set(kinds.KINDS)


@pytest.mark.parametrize(
  "name, changes, words",
  [
    ("ppo", {"learner.kind": "TRPO"}, "learner.kind='TRPO' is none of"),
    ("ppo", {"learner.beta": 0.1}, "learner.beta is unknown"),  # of DPO
    ("ppo", {"learner.clip": 0.0}, "learner.clip=0.0 must be above 0"),
    ("ppo", {"learner.unit": "word"}, "unit='word' is none of step, token"),
    ("ppo", {"learner.kl_weight": 0.1}, "kl_weight=0.1 needs"),
    ("ppo", {"learner.kl_target": 0.1}, "kl_target=0.1 needs a kl_weight"),
    ("ppo", {"learner.reference_every": 5}, "nothing refers to it"),
    ("ppo", {"learner.max_age": 0}, "max_age=0: PPO learns from what the"),
    ("ppo", {"learner.augment": True}, "augment=True: PPO compares with"),
    ("ppo", {"learner.optimizer": "sgd"}, "optimizer='sgd' is none of"),
    ("ppo", {"learner.accumulate": 3}, "no multiple of accumulate=3"),
    ("ppo", {"selfplay.group_size": 0}, "group_size=0: PPO needs at least 1"),
    ("ppo", {"selfplay.player": "me"}, "player='me' is neither search nor"),
    ("ppo", {"selfplay.num_targets": 2}, "num_targets=2 is more than"),
    ("ppo", {"selfplay.greedy_first": True}, "greedy_first needs group_size"),
    ("ppo", {"selfplay.player": "search"}, "play_solution=True: PPO"),
    ("grpo", {"selfplay.group_size": 1}, "GRPO needs at least 2"),
    ("grpo", {"selfplay.group_size": 3}, "no multiple of group_size=3"),
    ("grpo", {"selfplay.greedy_first": True}, "what ReMax needs, and no"),
    ("remax", {"selfplay.greedy_first": False}, "what ReMax needs"),
    (
      "remax",
      {"selfplay.player": "search", "search.play_solution": False},
      "search is not greedy",
    ),
    ("dpo", {"learner.reference_every": 0}, "'DPO' needs a reference"),
    ("dpo", {"learner.loss_kind": "sft"}, "loss='sft' is none of dpo, ipo"),
    ("alphazero", {"learner.td_lambda": 0.5}, "td_lambda below 1 needs"),
    ("tree_ppo", {"search.num_simulations": 0}, "learns from trees"),
    ("cloning", {"learner.learn_from": "wins"}, "is none of solved, best"),
    ("cloning", {"learner.learn_from": "best"}, "needs most_per_problem"),
    ("cloning", {"learner.least_reward": 0.5}, "is of learn_from='best'"),
    ("cloning", {"reward": CONFIDENCE}, "asks the environment, and config"),
    (
      "alphazero",
      {"reward": CONFIDENCE, "learner.worked": 8},
      "worked answers earn what the environment pays",
    ),
    ("tree_ppo", {"reward": CONFIDENCE}, "reward: TreePPO learns from the"),
    ("ppo", {"reward": SHAPED}, "reward.shaping: PPO learns values"),
    ("grpo", {"reward": SHAPED}, "reward.shaping: GRPO compares whole"),
    ("warm_up", {"before": ({"reward": {}},)}, "before[0]: config.reward.kind"),
    ("ppo", {"selfplay.player": "beam"}, "budget=0: the players that need one"),
    ("ppo", {"selfplay.budget": 4}, "budget=4: the players that need one"),
    ("ppo", {"selfplay.guidance": "value"}, "guides strategies, and player="),
    ("ppo", BEAM, "player='beam': PPO needs to know how probable"),
    ("alphazero", BEAM, "learn_from='solutions' are those found in trees"),
    ("tree_ppo", BEAM, "learns from trees"),
    ("ppo", {"search.process_reward": 3}, "process_reward=3 is no dict"),
    (
      "alphazero",
      {"search.process_reward": MODEL, "search.leaf_value": "likelihood"},
      "'likelihood' and process_reward exclude each other",
    ),
    ("warm_up", {"before": (3,)}, "before[0]=3 is not a dict"),
    ("warm_up", {"before": ({"patience": -1},)}, "patience=-1 must be"),
    ("warm_up", {"before": ({"learner": {"clip": 1}},)}, "before[0]: config"),
  ],
)
def test_what_does_not_fit_is_refused(name, changes, words):
  settings = load(name)
  for key, value in changes.items():
    room, _, last = key.rpartition(".")
    with settings.unlocked():
      target = settings[room] if room else settings
      target[last] = value
  with pytest.raises(config.UserError) as refused:
    config.make_stages(settings)
  message = str(refused.value)
  assert message.startswith("config.") and words in message
  assert "\n" not in message
