import json
import os
import pathlib
import signal
import subprocess
import sys

import checkpoints
import jax
import numpy as np
import pytest
import safetensors.numpy

from alphallm import models
from alphallm.models import rope, transformer


@pytest.mark.parametrize("name", checkpoints.CONFIGS)
def test_round_trip(tmp_path, name):
  model, params = checkpoints.make(name)
  models.save(tmp_path / "out", model, params)
  found, read = models.load(tmp_path / "out")
  assert found == model
  assert checkpoints.same(read, params)
  assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_round_trip_of_half_floats(tmp_path, dtype):
  model, params = checkpoints.make("llama", dtype)
  models.save(tmp_path / "out", model, params)
  found, read = models.load(tmp_path / "out", dtype=dtype)
  assert found.config.dtype == found.config.param_dtype == dtype
  assert checkpoints.same(read, params)
  config = json.loads((tmp_path / "out" / "config.json").read_text())
  assert config["torch_dtype"] == dtype


def test_what_others_find_in_the_file(tmp_path):
  model, params = checkpoints.make("qwen2")
  models.save(tmp_path / "out", model, params)
  found = safetensors.numpy.load_file(tmp_path / "out" / "model.safetensors")
  layer = params["params"]["layer_1"]
  for theirs, ours in {
    "model.layers.1.self_attn.q_proj.weight": layer["query"]["kernel"].T,
    "model.layers.1.self_attn.v_proj.bias": layer["value"]["bias"],
    "model.layers.1.mlp.down_proj.weight": layer["down"]["kernel"].T,
  }.items():
    np.testing.assert_array_equal(found[theirs], ours)
  assert len(found) == 2 + 2 * 12
  config = json.loads((tmp_path / "out" / "config.json").read_text())
  assert config["architectures"] == ["Qwen2ForCausalLM"]


def test_several_files(tmp_path):
  model, params = checkpoints.make("gemma3")
  models.save(tmp_path / "out", model, params, max_file_bytes=20_000)
  files = sorted(path.name for path in (tmp_path / "out").glob("model-*"))
  assert len(files) > 2
  assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
  sizes = [(tmp_path / "out" / file).stat().st_size for file in files]
  assert max(sizes) < 20_000 + 4000  # the headers
  assert checkpoints.same(models.load(tmp_path / "out")[1], params)
  index = tmp_path / "out" / "model.safetensors.index.json"
  total = json.loads(index.read_text())["metadata"]["total_size"]
  value_head = sum(
    x.nbytes for x in jax.tree.leaves(params["params"]["value_head"])
  )
  everything = sum(x.nbytes for x in jax.tree.leaves(params))
  assert total == everything - value_head


def test_the_tokenizer_goes_along(tmp_path):
  model, params = checkpoints.make("llama")
  models.save(tmp_path / "a", model, params)
  (tmp_path / "a" / "tokenizer.json").write_text("{}")
  (tmp_path / "a" / "notes.txt").write_text("mine")
  config = json.loads((tmp_path / "a" / "config.json").read_text())
  config |= {"eos_token_id": [2, 3], "bos_token_id": 1}
  (tmp_path / "a" / "config.json").write_text(json.dumps(config))
  models.save(tmp_path / "b", model, params, source=tmp_path / "a")
  assert (tmp_path / "b" / "tokenizer.json").read_text() == "{}"
  assert not (tmp_path / "b" / "notes.txt").exists()
  assert json.loads((tmp_path / "b" / "config.json").read_text()) == config


def test_what_is_there_is_kept(tmp_path):
  model, params = checkpoints.make("llama")
  with pytest.raises(ValueError, match="exists; save to another folder"):
    models.save(tmp_path, model, params)


def test_parameters_of_another_model(tmp_path):
  model, _ = checkpoints.make("llama")
  _, params = checkpoints.make("llama3")
  with pytest.raises(ValueError, match="not those of the model: .*lm_head"):
    models.save(tmp_path / "out", model, params)


def test_a_model_of_no_family(tmp_path):
  for options in (
    {"mlp": "relu2"},
    {"logit_cap": 3.0},
    {"local_layers": (0,), "window": 3},
    {"rope_scaling": rope.Linear(2.0), "post_norms": True},
  ):
    config = transformer.TransformerConfig(8, **options)
    model = transformer.PolicyValueTransformer(config)
    with pytest.raises(ValueError, match="no family of models computes"):
      models.save(tmp_path / "out", model, {})
  assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
import checkpoints
from alphallm.formats import safetensors
from alphallm import models
write, left = safetensors.write, int(sys.argv[2])
def dying(path, like, fetch):
  def counted(name):
    global left
    left -= 1
    if left < 0:
      os.kill(os.getpid(), signal.SIGKILL)
    return fetch(name)
  write(path, like, counted)
safetensors.write = dying
model, params = checkpoints.make("llama")
models.save(sys.argv[1], model, params, max_file_bytes=20_000)
"""


def test_a_kill_leaves_no_half_a_model(tmp_path):
  tests = pathlib.Path(__file__).parents[1]
  for left in 5, 22:  # of 23 tensors, those of the value head included
    run = subprocess.run(
      [sys.executable, "-c", KILLED, tmp_path / "out", str(left)],
      env=os.environ | {"PYTHONPATH": f"{tests}:{tests.parent}"},
      check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert [x.name for x in tmp_path.iterdir()] == ["out.unfinished"]
    with pytest.raises(ValueError, match="has no config.json"):
      models.load(tmp_path / "out.unfinished")
  model, params = checkpoints.make("llama")
  models.save(tmp_path / "out", model, params)
  assert [x.name for x in tmp_path.iterdir()] == ["out"]
