"""Tests of models that are known by their shape."""

import json

import jax
import pytest

from alphallm import shapes, values
from alphallm.models import transformer
from configs import smollm2_arithmetic


def num_parameters(config):
  init = lambda key: transformer.init_params(config, key)
  params = jax.eval_shape(init, jax.random.key(0))
  head = config.embed_dim + 1  # of the value
  return sum(x.size for x in jax.tree.leaves(params)) - head


@pytest.mark.parametrize(
  ("name", "size"),
  [
    ("qwen2.5-0.5b", 494_032_768),
    ("qwen2.5-1.5b", 1_543_714_304),
    ("qwen2.5-7b", 7_615_616_512),
    ("llama3-8b", 8_030_261_248),
    ("llama3-70b", 70_553_706_496),
  ],
)
def test_they_are_as_large_as_published(name, size):
  assert num_parameters(shapes.find(name)) == size


def test_a_config_json_is_a_shape(tmp_path):
  path = tmp_path / "config.json"
  path.write_text(json.dumps(shapes.SHAPES["qwen2.5-0.5b"]))
  assert shapes.find(str(path)) == shapes.find("qwen2.5-0.5b")
  path.write_text("{}")
  for name in (str(path), "qwen9"):
    with pytest.raises(values.UserError, match=f"--shape={name}"):
      shapes.find(name)


def test_a_run_of_a_model_that_is_not_here():
  settings = smollm2_arithmetic.get_config("tiny").to_dict()
  settings["task"] = dict(
    kind="GradeSchool", data_dir="/nowhere", max_steps=3, max_step_tokens=5
  )
  settings["model"]["dtype"] = "bfloat16"
  run = shapes.run_of(settings, "llama3-70b")
  assert run.refers_to_pretrained
  assert (run.task.max_steps, run.task.max_step_tokens) == (3, 5)
  assert run.model.config.num_layers == 80
  assert run.model.config.dtype == "bfloat16"
  settings["model"]["dtype"] = "int7"
  with pytest.raises(values.UserError, match="dtype"):
    shapes.run_of(settings, "llama3-70b")
