"""Tests of the configs: what is refused, and that the real ones trace."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil

import checkpoints
import jax
import numpy as np
import pytest
import tiny_config
from ml_collections import config_dict

from alphallm import config, rounds, sharding, tuning
from alphallm import trainer as trainer_lib
from alphallm.search import policies
from alphallm.tasks import grade_school

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def changed(**values):
  """Return the tiny config with values by their dotted names."""
  settings = tiny_config.get_config().to_dict()
  for name, value in values.items():
    *rooms, key = name.split(".")
    room = functools.reduce(lambda d, k: d[k], rooms, settings)
    room[key] = value
  return config_dict.ConfigDict(settings)


@pytest.mark.parametrize(
  "name, value",
  [
    ("selfplay.num_slots", 0),
    ("selfplay.num_moves", 0),
    ("selfplay.num_moves", 2.0),
    ("selfplay.num_targets", 5),
    ("search.num_simulations", -1),
    ("search.num_candidates", 0),
    ("search.num_candidates", True),
    ("search.max_depth", 0),
    ("search.discount", 1.5),
    ("search.discount", 0),
    ("search.permission", "everything"),
    ("search.cache", "none"),
    ("search.prior_temperature", 0.0),
    ("search.rules_propose", 1),
    ("search.policy.kind", "alphabeta"),
    ("search.policy.value_scale", -0.1),
    ("search.policy.dirichlet_alpha", 0.3),  # of puct
    ("learner.batch_size", -1),
    ("learner.learning_rate", -1e-3),
    ("learner.learning_rate", float("nan")),
    ("learner.learning_rate", "0.1"),
    ("learner.average", 1.1),
    ("learner.max_steps", 0),
    ("learner.capacity", 100),  # less than an iteration brings
    ("learner.min_examples", -1),
    ("train.evaluate_every", 0),
    ("train.checkpoint_every", 0),
    ("train.num_eval_problems", 0),
    ("model.num_layers", 0),
    ("model.num_kv_heads", 0),
    ("model.num_kv_heads", 3),
    ("model.head_dim", 5),
    ("model.mlp", "none"),
    ("model.dtype", "float33"),
    ("task.kind", "Task"),
    ("task.kind", None),
    ("task.min_blocks", 4),
    ("task.max_blocks", 99),
    ("task.max_blocks", "3"),
    ("task.max_steps", 0),
    ("task.context", "keep"),
    ("task.foo", 1),
    ("seed", -1),
    ("seed", 2**31),
    ("seed", 0.5),
    ("search", None),
    ("foo", 1),
    ("model.foo", 1),
    ("search.foo", 1),
    ("search.policy.foo", 1),
    ("selfplay.foo", 1),
    ("learner.foo", 1),
    ("train.foo", 1),
  ],
)
def test_a_wrong_value_is_refused_by_its_name(name, value):
  with pytest.raises(config.UserError) as refused:
    config.make_run(changed(**{name: value}))
  message = str(refused.value)
  assert message.startswith("config.") and "\n" not in message
  assert name.split(".")[-1] in message or "blocks must be" in message


def test_the_tiny_config_is_not_refused():
  config.make_run(changed())
  config.make_run(changed(**{"task.max_steps": 5, "learner.warmup_steps": 0}))


@pytest.mark.parametrize("room", ["seed", "task", "model", "learner", "train"])
def test_a_missing_room_is_refused(room):
  settings = tiny_config.get_config().to_dict()
  del settings[room]
  with pytest.raises(config.UserError, match=f"config.{room} is missing"):
    config.make_run(config_dict.ConfigDict(settings))


def test_settings_that_do_not_go_together_are_refused():
  nothing = {"search.permission": "nothing", "search.rules_propose": False}
  with pytest.raises(config.UserError, match="context='append'"):
    config.make_run(changed(**nothing))
  config.make_run(changed(**nothing, **{"task.context": "append"}))
  with pytest.raises(config.UserError, match="rules_propose needs permission"):
    config.make_run(changed(**{"search.permission": "nothing"}))
  carries = {**nothing, "search.carry_over": True, "task.context": "append"}
  with pytest.raises(config.UserError, match="carry_over=True needs"):
    config.make_run(changed(**carries))
  # Where nothing answers a step, its subtree can be carried over.
  carries |= {"task": {"kind": "Sums"}, "learner.augment": False}
  assert config.make_run(changed(**carries)).search.carry_over
  puct = {"search.policy": {"kind": "puct"}, "search.num_simulations": 0}
  with pytest.raises(
    config.UserError, match="num_simulations=0: Puct needs at least 1"
  ):
    config.make_run(changed(**puct))


def test_augmenting_needs_symmetries():
  settings = changed().to_dict()
  settings["task"] = dict(kind="Countdown", context="append")
  with pytest.raises(config.UserError, match="augment=True: countdown in an"):
    config.make_run(config_dict.ConfigDict(settings))


def test_a_task_of_text_has_no_rules_that_propose():
  task = {"kind": "Sums", "num_examples": 0}
  text = {"task": task, "learner.augment": False}
  run = config.make_run(changed(**text, **{"search.rules_propose": False}))
  assert run.task.name == "sums"
  with pytest.raises(config.UserError, match="rules_propose=True: no rule"):
    config.make_run(changed(**text, **{"search.rules_propose": True}))
  wrong = text | {"task": task | {"operators": "%"}}
  with pytest.raises(config.UserError, match="operators='%' are not some"):
    config.make_run(changed(**wrong))


def test_a_task_without_problems_is_refused():
  ones = dict(kind="Countdown", num_numbers=2, max_number=1, min_target=50)
  with pytest.raises(config.UserError, match="config.task: found no solvable"):
    config.make_run(changed(task=ones))


def test_the_tokenizer_of_a_workdir_is_used(tmp_path):
  run = config.make_run(changed())
  run.task.tokenizer.save(tmp_path / "tokenizer.model")
  config.make_run(changed(), tmp_path)
  (tmp_path / "tokenizer.model").write_bytes(b"damaged")
  with pytest.raises(config.UserError, match="tokenizer.model is damaged"):
    config.make_run(changed(), tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A tiny pretrained model."""
  return checkpoints.write_folder(tmp_path_factory.mktemp("models") / "model")


def with_pretrained(path, **model):
  task = {"kind": "Sums", "num_examples": 0}
  return changed(
    task=task,
    model={"pretrained": str(path), **model},
    **{"learner.augment": False, "search.rules_propose": False},
  )


def test_a_pretrained_model_brings_its_shape_and_tokenizer(folder):
  run = config.make_run(with_pretrained(folder, dtype="bfloat16"))
  wanted = dataclasses.replace(
    checkpoints.CONFIGS["qwen2"],
    vocab_size=run.task.vocab_size + 3,
    dtype="bfloat16",
  )
  assert run.model.config == wanted and run.pretrained == folder
  assert run.task.tokenizer.encode("17") == [
    run.task.tokenizer.id(digit) for digit in "17"
  ]


@pytest.mark.parametrize(
  "settings, words",
  [
    ({"num_layers": 3}, "model.num_layers does not go with"),
    ({"dtype": "float33"}, "dtype='float33' is none of"),
    ({"dtype": 32}, "dtype=32 is not of type str"),
    ({"pretrained": "/nowhere"}, "pretrained: /nowhere is no folder"),
    ({"pretrained": ""}, "pretrained: '' is no path"),
    ({"pretrained": 3}, "pretrained: 3 is no path"),
  ],
)
def test_a_wrong_pretrained_model_is_refused(folder, settings, words):
  settings = {"pretrained": str(folder), **settings}
  with pytest.raises(config.UserError, match="config.model") as refused:
    config.make_run(with_pretrained(folder, **settings))
  assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_damaged_pretrained_model_is_refused(folder, tmp_path):
  for name in ("config.json", "tokenizer.json", "model.safetensors"):
    copy = shutil.copytree(folder, tmp_path / name)
    (copy / name).write_text("{")
    with pytest.raises(config.UserError, match=f"pretrained: .*{name}"):
      config.make_run(with_pretrained(copy))


def test_only_questions_have_worked_answers():
  with pytest.raises(config.UserError, match="worked=9: blocks_world has no"):
    config.make_run(changed(**{"learner.worked": 9}))


def test_without_a_pretrained_model_there_is_none_to_be_held_to():
  with pytest.raises(config.UserError, match="kl_weight=0.1 needs"):
    config.make_run(changed(**{"learner.kl_weight": 0.1}))


def test_the_fingerprint_ignores_the_length_of_the_run():
  mine = config.fingerprint(changed())
  assert mine == config.fingerprint(changed(**{"train.num_iterations": 99}))
  assert mine != config.fingerprint(changed(**{"learner.learning_rate": 0.1}))
  assert mine != config.fingerprint(changed(seed=1))
  json.dumps(mine)


@pytest.mark.parametrize("kind", ["gumbel", "puct"])
def test_evaluation_searches_without_noise(kind):
  run = config.make_run(changed(**{"search.policy": {"kind": kind}}))
  search = config.for_evaluation(run, 7)
  assert search.num_simulations == 7 and not search.rules_propose
  assert (
    search.policy
    == {
      "gumbel": policies.Gumbel(gumbel_scale=0.0),
      "puct": policies.Puct(dirichlet_fraction=0.0, temperature=0.0),
    }[kind]
  )


@pytest.fixture(scope="module")
def load(tmp_path_factory):
  """Return a function from `FILE` or `FILE:VARIANT` to its config.

  What is not among the files of the project is of a tiny kind.
  """
  folder = tmp_path_factory.mktemp("configs")
  model = checkpoints.write_folder(folder / "model")
  record = {"question": "What is 1 + {}?", "answer": "It is\n#### {}"}
  lines = [json.dumps(record).replace("{}", str(i)) for i in range(64)]
  (folder / "train.jsonl").write_text("\n".join(lines))
  grade_school.write(folder, train=folder / "train.jsonl")

  def load(name):
    name, _, variant = name.partition(":")
    spec = importlib.util.spec_from_file_location("c", CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = module.get_config(*[variant] if variant else [])
    if "pretrained" in loaded.model:
      loaded.model.pretrained = str(model)
      if loaded.task.kind == "Thoughts":  # whose marks that one does not know
        loaded.unlock().model = {"num_layers": 1}
    if "data_dir" in loaded.task:
      loaded.task.data_dir = str(folder)
    return loaded

  return load


def test_every_config_file_makes_a_run(load):
  for path in CONFIGS.glob("*.py"):
    if path.stem not in ("__init__", "scaling"):  # many runs: see its test
      loaded = load(path.stem)
      make = tuning.make if "tuning" in loaded else config.make_run
      make = rounds.make if "journey" in loaded else make
      make(loaded)


@pytest.mark.parametrize(
  "name",
  [
    "quickstart",
    "blocks_world:4,append",
    "smollm2_arithmetic",
    "gsm8k_qwen2.5:tiny",
    pytest.param("gsm8k_qwen2.5", marks=pytest.mark.slow),
    pytest.param("blocks_world:6,no_search", marks=pytest.mark.slow),
    pytest.param("blocks_world:4,ci", marks=pytest.mark.slow),
    pytest.param("countdown", marks=pytest.mark.slow),
    pytest.param("countdown:tiny", marks=pytest.mark.slow),
    pytest.param("game24", marks=pytest.mark.slow),
    pytest.param("game24:tiny", marks=pytest.mark.slow),
  ],
)
def test_configs_trace(load, name):
  run = config.make_run(load(name))
  trainer = trainer_lib.Trainer(
    run, sharding.make_mesh(devices=jax.devices()[:1])
  )
  state = trainer.abstract()
  if run.learner.kl_weight:
    trainer.pretrained = state.learner.params

  def iterate(state, pretrained):
    trainer.pretrained = pretrained
    return trainer.iterate(state, 0)

  after, scalars = jax.eval_shape(iterate, state, trainer.pretrained)
  assert jax.tree.map(np.shape, scalars)["loss"] == ()
  same = lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype)
  assert all(jax.tree.leaves(jax.tree.map(same, state, after)))
