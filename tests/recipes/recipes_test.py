"""Tests of recipes: each is a choice in five slots, and runs."""

import importlib
import json

import programs
import pytest

from alphallm import config as config_lib
from alphallm import consistency, phases, roadmap
from configs.recipes import one_changed, slots

TRAINED = [
  name for name in roadmap.RECIPES if name not in ("g1", "thinking_claude")
]
# Project by project, in the order of the slots, as the roadmap has them.
WANTED = {
  "g1": "prompt, –, –, –, sampling",
  "thinking_claude": "prompt, –, –, –, sampling",
  "open_o1": "supervised, –, –, –, sampling",
  "o1_journey_1": "supervised, process, beam, cloning, sampling",
  "o1_journey_2": "supervised, –, –, –, sampling",
  "openr": "rules, process, sampling, PPO, MCTS",
  "still_1": "supervised, outcome model, sampling, DPO, MCTS",
  "still_2": "supervised, outcome, sampling, cloning, sampling",
  "marco_o1": "supervised, token confidence, MCTS, cloning, MCTS",
  "o1_coder": "supervised, process, MCTS, PPO, MCTS",
  "alphazero": "rules, outcome, MCTS, AlphaZero, MCTS",
}


def get_config(name, argument):
  module = importlib.import_module(f"configs.recipes.{name}")
  return module.get_config(argument)


@pytest.mark.parametrize("name", WANTED)
def test_the_slots_of_a_project(name):
  is_prompted = name in ("g1", "thinking_claude")
  tasks = ["arithmetic"] if is_prompted else ["countdown", "blocks_world"]
  for task in tasks:
    for size in "full", "small", "ci":
      config = get_config(name, f"{task},{size}")
      found = [config.slots[slot] for slot in phases.SLOTS]
      wanted = WANTED[name].split(", ")
      assert all(map(str.startswith, found, wanted)), found


@pytest.mark.parametrize(
  ("name", "argument", "words"),
  [
    ("g1", "countdown", "a prompt needs a model that follows instructions"),
    ("alphazero", "chess", "'chess' is no TASK,SIZE of countdown"),
    ("alphazero", "countdown,huge", "is no TASK,SIZE"),
    ("openr", "programs", "no rules propose the lines of programs"),
    ("still_2", "game24", "no searcher writes long thoughts of game24"),
    ("one_changed", "countdown,ci,luck", "'luck' is none of initialization"),
  ],
)
def test_what_cannot_be_is_refused(name, argument, words):
  with pytest.raises(ValueError, match=words):
    get_config(name, argument)


@pytest.mark.parametrize(
  "task", ["countdown", "blocks_world", "game24", "programs"]
)
def test_rules_propose_solutions_for_a_reward_model_where_they_can(task):
  config = get_config("o1_coder", f"{task},ci")
  settings = config.to_dict()
  _, made, _ = config_lib.make_policy_parts(settings, None)
  if config.train_reward.rules_propose:
    consistency.check_proposes(made, "rules_propose")
  else:
    with pytest.raises(config_lib.UserError, match="free text"):
      consistency.check_proposes(made, "rules_propose")


def test_each_change_of_alphazero_changes_one_slot():
  whole = get_config("alphazero", "countdown,ci").slots
  for slot in phases.SLOTS:
    other = get_config("one_changed", f"countdown,ci,{slot}").slots
    assert [s for s in phases.SLOTS if whole[s] != other[s]] == [slot]
  assert set(one_changed.INSTEAD) == set(phases.SLOTS)


def test_a_prompt_is_said_before_the_question():
  config = get_config("g1", "arithmetic,ci")
  assert config.task.as_chat and "numbered steps" in config.task.system
  assert config.train.num_iterations == 0 and slots.NOTHING.words == "–"


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_ends_with_a_row(name, tmp_path):
  ended = programs.Running(
    "roadmap", "--budget=ci", f"--only={name}", f"--workdir={tmp_path}"
  ).wait(seconds=1_200)
  assert ended.code == 0, ended.err
  row = json.loads((tmp_path / "rows" / f"{name}.json").read_text())
  assert set(row["after"]) <= {"0", "1"} and len(row["after"]) == 16
  assert row["train_tokens"]["documents"] > 0
  assert f"| {name.replace('_', chr(92) + '_')} |" in ended.out
