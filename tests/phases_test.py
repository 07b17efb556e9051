"""Tests of what comes before a run: rooms, places, and what is skipped."""

import json

import pytest

from alphallm import config as config_lib
from alphallm import phases, reward_models, runs, values
from alphallm.learning import payment
from configs.recipes import alphazero, o1_coder, openr, slots


def test_the_plain_config_is_that_of_the_run(tmp_path):
  config = o1_coder.get_config("countdown,ci")
  plain = phases.plain(config, tmp_path)
  assert not {*phases._ROOMS} & {*plain.keys()}
  assert plain.model.pretrained == str(tmp_path / "finetune" / "model")
  model, outcome = plain.to_dict()["reward"]["parts"]
  where = {"workdir": str(tmp_path / "first"), "name": "process"}
  assert model == {"kind": "model", "weight": 0.5, **where}
  assert outcome == {"kind": "outcome", "weight": 0.5}
  assert plain.search.process_reward.to_dict() == where
  assert "slots" in config  # it is not changed
  again = phases.plain(plain, tmp_path / "elsewhere")
  assert again.to_dict() == plain.to_dict()


def test_the_search_of_the_test():
  config = alphazero.get_config("countdown,ci")
  assert phases.test_search(config) == (["mcts"], [2])
  config = slots.get_config(
    "game24", **alphazero.CHOICE | {"test_search": slots.TEST_SAMPLING}
  )
  assert phases.test_search(config) == (["sampled"], None)
  config.unlock().evaluation = {"methods": "mcts"}
  with pytest.raises(values.UserError, match="methods='mcts' is no list"):
    phases.test_search(config)
  del config.evaluation
  assert phases.test_search(config) is None


class Calls:
  """Stands in for a phase, and notes what it was asked for."""

  def __init__(self):
    self.configs = []

  def __call__(self, config, workdir, *unused):
    self.configs.append((config, workdir))
    workdir.mkdir(parents=True, exist_ok=True)


def test_a_phase_that_is_over_is_not_repeated(tmp_path, monkeypatch):
  tuned, judged = Calls(), Calls()
  monkeypatch.setattr(phases.finetune, "run", tuned)
  monkeypatch.setattr(phases, "_train_reward", lambda *args: judged(*args[1:]))
  config = openr.get_config("countdown,ci")
  phases.prepare(config, tmp_path)
  ((supervised, folder),) = tuned.configs
  assert folder == tmp_path / "finetune"
  assert supervised.task == config.task and supervised.data.kind == "rules"
  summary = {"train_steps": config.finetune.train.num_steps}
  (folder / "summary.json").write_text(json.dumps(summary))
  phases.prepare(config, tmp_path)
  assert len(tuned.configs) == 1 and len(judged.configs) == 2
  monkeypatch.setattr(phases.checkpoint, "any_in", lambda path: True)
  phases.prepare(config, tmp_path)
  assert len(judged.configs) == 2


def test_the_first_policy_is_a_run_without_what_comes_of_it(
  tmp_path, monkeypatch
):
  kept = {}
  monkeypatch.setattr(
    phases.train_reward,
    "run",
    lambda made, workdir, name, settings: kept.update(name=name, made=made),
  )
  config = o1_coder.get_config("countdown,ci")
  plain = phases.plain(config, tmp_path).unlock()
  plain.model = config.model  # as if nothing were tuned, nor referred to
  plain.learner.kl_weight = 0.0
  phases._train_reward(config, plain, tmp_path)
  assert kept["name"] == kept["made"].kind == "process"
  run = reward_models.run_of(tmp_path)
  assert run.guide is None and run.reward == payment.PaymentConfig()
  params, iteration = runs.load(run, tmp_path)
  assert iteration == 0 and params.keys() == runs.load_first(run).keys()


def test_tokens_of_all_phases(tmp_path):
  for folder, tokens in ("finetune", 3), (".", 4):
    (tmp_path / folder).mkdir(exist_ok=True)
    lines = [{"step": 0}, *({"step": i, "tokens": tokens} for i in (1, 2))]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / folder / "metrics.jsonl").write_text(text)
  path = tmp_path / "first" / "rewards" / "process"
  path.mkdir(parents=True)
  figures = {"sample_tokens": 5, "label_tokens": 6, "auc": 0.5}
  (path / "summary.json").write_text(json.dumps(figures))
  assert phases.tokens_spent(tmp_path) == {
    "documents": 6, "self-play": 8, "reward": 11,
  }  # fmt: skip


def test_an_unknown_room_is_refused(tmp_path):
  config = alphazero.get_config("countdown,ci")
  config.finetune.luck = 3
  with pytest.raises(values.UserError, match="config.finetune.luck is unknown"):
    phases.prepare(config, tmp_path)
  config = phases.plain(config, tmp_path).unlock()
  config.luck = {}
  with pytest.raises(values.UserError, match="config.luck is unknown"):
    config_lib.make_run(config)
