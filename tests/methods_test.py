"""Tests of the methods that are compared."""

import dataclasses

import pytest
import tiny_config

from alphallm import config, methods, search
from alphallm.search.strategies import budgets


@pytest.fixture(scope="module")
def run():
  return config.make_run(tiny_config.get_config())


def test_guidance_from_words(run):
  assert methods.guidance("value", run.task).name == "value"
  mixed = methods.guidance("0.25*value + 0.75*likelihood", run.task)
  assert mixed.name == "0.25*value+0.75*likelihood" and mixed.is_share
  for words in "worth", "x*value", "value+", "":
    with pytest.raises(config.UserError, match="--guidance.*none of value"):
      methods.guidance(words, run.task)
  with pytest.raises(config.UserError, match="--guidance: .*' Yes' is not one"):
    methods.guidance("self_evaluation", run.task)


def test_models_guide_by_their_names(run):
  model = search.guidance.outcome(lambda path: path.value, name="mine")
  mixed = methods.guidance("0.5*mine+0.5*value", run.task, {"mine": model})
  assert mixed.name == "0.5*mine+0.5*value" and mixed.needs_value
  with pytest.raises(config.UserError, match="here: 'yours' is none.*, mine"):
    methods.guidance("yours", run.task, {"mine": model}, where="here")


def test_budgets_and_permissions(run):
  names = ["greedy", "vote", "beam", "mcts"]
  made, refused = methods.strategies(run, names, [8, 2])
  assert [method.name for method in made] == (
    ["greedy", "vote_2", "vote_8", "beam_2", "beam_8", "mcts_2", "mcts_8"]
  )
  assert not refused
  asks = {method.name: method.asks for method in made}
  assert asks["greedy"] == "nothing" and asks["vote_2"] == "rules"
  assert asks["beam_8"] == asks["mcts_8"] == "checker"


def test_a_world_takes_the_place_of_the_environment(run):
  """It is asked for the policy's parameters, and no rule proposes steps."""
  asked = []

  def world(params):
    asked.append(params)
    raise LookupError

  names = ["mcts", "embedded"]
  (true, seen), _ = methods.strategies(run, names, [2], world=world)
  assert (true.name, true.asks) == ("mcts_2", "checker")
  assert (seen.name, seen.asks) == ("embedded_2", "nothing")
  with pytest.raises(LookupError):
    seen.solve((), None, None)
  assert len(asked) == 1
  guided = dataclasses.replace(run.search, process_reward=lambda state: 0.5)
  run = dataclasses.replace(run, search=guided)
  made, refused = methods.strategies(run, ["embedded"], [2], world=world)
  assert not made and "reads text" in refused[0]


def test_what_makes_no_sense_is_left_out_with_its_reason(run):
  names = ["greedy", "sampling", "vote", "best_of_n", "beam"]
  made, refused = methods.strategies(
    run, names, [2, 4], guided_by="self_consistency", permission="rules"
  )
  assert {method.name for method in made} == (
    {"greedy", "sampling_2", "sampling_4", "vote_2", "vote_4"}
    | {"best_of_n_2", "best_of_n_4"}
  )
  assert len(refused) == 1 and "beam by self_consistency" in refused[0]


def test_as_many_steps_are_sampled_as_the_budget_says():
  for name, strategy in budgets.STRATEGIES.items():
    for budget in 1, 2, 4, 6, 16:
      _, settings = strategy(budget, 8)
      if "width" in settings:
        spent = settings["width"] * settings["num_candidates"]
      elif "num_revisions" in settings:
        spent = settings.get("num_chains", 1) * (1 + settings["num_revisions"])
      else:
        (spent,) = (
          n
          for key, n in settings.items()
          if key in ("num_samples", "num_expansions", "num_attempts")
        )
      assert budget - 3 < spent <= budget, name


def test_auto_is_made_of_a_table(run):
  table = {
    "asks": "rules",
    "guidance": "",
    "num_samples": 2,
    "edges": [0.5],
    "levels": {"4": {"methods": ["mcts_4", "vote_4"]}},
  }
  (made,), refused = methods.strategies(run, ["auto"], [4], table=table)
  assert made.name == "auto_4" and made.asks == "rules" and not refused
  with pytest.raises(config.UserError, match="budgets 4, and no 8"):
    methods.strategies(run, ["auto"], [8], table=table)
  table["levels"]["4"]["methods"][0] = "mtcs_4"
  with pytest.raises(config.UserError, match="'mtcs_4', no method"):
    methods.strategies(run, ["auto"], [4], table=table)
