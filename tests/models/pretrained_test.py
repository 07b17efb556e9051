import dataclasses
import json
import sys
import tracemalloc
import types

import checkpoints
import foreign_tokenizers
import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer

from alphallm import models, sharding
from alphallm.formats import safetensors
from alphallm.models import pretrained, transformer
from alphallm.tokenizer import folders


@pytest.fixture
def folder(tmp_path):
  model, params = checkpoints.make("llama3")
  models.save(tmp_path / "model", model, params)
  return tmp_path / "model"


def rewrite(folder, change):
  """Change the tensors of a folder."""
  path = folder / "model.safetensors"
  tensors = {k: x.read() for k, x in safetensors.read(path).items()}
  change(tensors)
  safetensors.write(path, tensors, tensors.get)


def configure(folder, **entries):
  path = folder / "config.json"
  settings = json.loads(path.read_text()) | entries
  path.write_text(json.dumps(settings))


@pytest.mark.parametrize("name", checkpoints.CONFIGS)
def test_gguf(tmp_path, name):
  model, params = checkpoints.make(name)
  keys = {}
  if name == "gemma3":  # one layer in six has no window, unless told
    keys["attention.sliding_window_pattern"] = ("add_uint32", 2)
  path = checkpoints.write_gguf(tmp_path / "x.gguf", name, params, **keys)
  found, read = models.load(path)
  # What scales the scores is not in the file.
  assert found.config == dataclasses.replace(model.config, query_scalar=None)
  assert np.all(read["params"]["value_head"]["kernel"] == 0)
  read["params"]["value_head"] = params["params"]["value_head"]
  near = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)
  jax.tree.map(near, read, params)


def test_a_value_head_beside_a_gguf_file(tmp_path):
  model, params = checkpoints.make("llama")
  models.save(tmp_path / "model", model, params)
  (tmp_path / "model" / "value_head.safetensors").rename(
    tmp_path / "value_head.safetensors"
  )
  path = checkpoints.write_gguf(tmp_path / "x.gguf", "llama", params)
  assert checkpoints.same(models.load(path)[1], params)


def test_without_a_value_head_the_value_is_one_half(folder):
  (folder / "value_head.safetensors").unlink()
  model, params = models.load(folder)
  tokens = jnp.arange(5, dtype=jnp.int32)[None, None]
  output = model.apply(params, tokens, tokens)
  assert np.all(output.value_logits == 0)
  assert np.std(output.logits) > 0.1


def test_types(folder):
  model, params = models.load(folder, dtype="bfloat16", param_dtype="float32")
  assert model.config.dtype == "bfloat16"
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  _, halves = models.load(folder, dtype="bfloat16")
  cast = jax.tree.map(lambda x: x.astype("bfloat16"), params)
  assert checkpoints.same(halves, cast)


def test_shardings(folder):
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  whole = sharding.replicated(mesh)
  _, params = models.load(folder, sharding=whole)
  assert {x.sharding for x in jax.tree.leaves(params)} == {whole}
  _, split = models.load(
    folder, sharding=lambda tree: sharding.state(tree, mesh, min_size=1)
  )
  assert checkpoints.same(params, split)


def test_buffers_and_copies_of_the_embedding_are_passed_over(folder):
  _, params = models.load(folder)

  def change(tensors):
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    tensors[name] = np.zeros(4, np.float32)

  rewrite(folder, change)
  assert checkpoints.same(models.load(folder)[1], params)


Q = "model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t: t.pop(Q), f"'{Q}' is missing"),
    (
      lambda t: t.update({Q: t[Q].T[:5]}),
      r"shape \[5, 32\] instead of \[32, 3",
    ),
    (
      lambda t: t.update({"x": t[Q], "y": t[Q]}),
      "'x' and 1 more belongs to no",
    ),
    (lambda t: t.update({"lm_head.weight": t[Q]}), "'lm_head.weight' belongs"),
  ],
)
def test_wrong_tensors(folder, change, message):
  rewrite(folder, change)
  with pytest.raises(ValueError, match=message):
    models.load(folder)


def test_half_a_value_head(folder):
  weight = {"weight": np.zeros((1, 32), np.float32)}
  safetensors.write(folder / "value_head.safetensors", weight, weight.get)
  with pytest.raises(ValueError, match="value_head.*: the tensor 'bias' is m"):
    models.load(folder)


def test_wrong_folders(folder, tmp_path):
  with pytest.raises(
    ValueError, match="is no folder, no GGUF file and no name"
  ):
    models.load(tmp_path / "none")
  with pytest.raises(ValueError, match="has no config.json"):
    models.load(tmp_path)
  configure(folder, num_hidden_layers=10**7)
  with pytest.raises(ValueError, match="too few for 10000000 layers"):
    models.load(folder)
  (folder / "config.json").write_text("[1")
  with pytest.raises(ValueError, match="config.json: the JSON is malformed"):
    models.load(folder)


@pytest.mark.parametrize(
  ("index", "message"),
  [
    ({}, "has no weight_map"),
    ({"weight_map": {"a": "../a.safetensors"}}, "has no weight_map"),
    ({"weight_map": {"a": "b.safetensors"}}, "b.safetensors is missing"),
    ({"weight_map": {"a": "moved.safetensors"}}, "elsewhere"),
  ],
)
def test_wrong_indices(folder, index, message):
  (folder / "model.safetensors").rename(folder / "moved.safetensors")
  with pytest.raises(ValueError, match="has neither model.safetensors nor"):
    models.load(folder)
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  with pytest.raises(ValueError, match=message):
    models.load(folder)


def test_the_hub(folder, monkeypatch):
  asked = []

  def snapshot_download(name, allow_patterns):
    if name == "some/other":
      raise OSError("no network\nat all")
    asked.append((name, allow_patterns))
    return str(folder)

  hub = types.SimpleNamespace(snapshot_download=snapshot_download)
  monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
  assert checkpoints.same(models.load("some/model")[1], models.load(folder)[1])
  ((name, patterns),) = asked
  assert name == "some/model"
  assert not any("bin" in x or "pt" in x or x == "*" for x in patterns)
  with pytest.raises(
    ValueError, match="did not come from the hub: no network$"
  ):
    models.load("some/other")
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  with pytest.raises(ValueError, match="pip install 'alphallm"):
    models.load("some/model")


@pytest.mark.parametrize("split", [False, True])
def test_one_tensor_at_a_time(tmp_path, split):
  """What the host holds beside the parameters stays under two tensors."""
  config = dataclasses.replace(
    checkpoints.CONFIGS["llama"], vocab_size=2**18, dtype="bfloat16"
  )
  _, params = random_transformer.make(config, scale=0.3)
  model = transformer.PolicyValueTransformer(config)
  models.save(tmp_path / "model", model, params)
  del params
  largest = 2**18 * 32 * 4
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  where = sharding.replicated(mesh) if split else None
  tracemalloc.start()
  _, params = models.load(tmp_path / "model", sharding=where)
  kept, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak - kept < 2 * largest


def test_the_shape_alone(folder):
  model, _ = models.load(folder, dtype="bfloat16", param_dtype="float32")
  shape = pretrained.shape(folder, dtype="bfloat16", param_dtype="float32")
  assert shape == model.config
  (folder / "config.json").unlink()
  with pytest.raises(ValueError, match="holds no model"):
    pretrained.shape(folder)


def test_tokenizers_of_folders_and_of_gguf_files(tmp_path):
  vocabulary = foreign_tokenizers.byte_pairs()
  folders.save(vocabulary, tmp_path / "folder")
  described = json.loads(foreign_tokenizers.byte_level_json())["model"]
  writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
  writer.add_tokenizer_model("gpt2")
  writer.add_tokenizer_pre("smollm")
  writer.add_token_list(vocabulary.names)
  writer.add_token_merges([" ".join(pair) for pair in described["merges"]])
  writer.add_eos_token_id(0)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.close()
  text = "17 + 25 = 42\nnaïve"
  for path in (tmp_path / "folder", tmp_path / "x.gguf"):
    found = pretrained.load_tokenizer(path)
    assert found.encode(text) == vocabulary.encode(text)
    assert found.eos_id == 0
  (tmp_path / "x.gguf").write_bytes(b"GGUF")
  for path in (tmp_path, tmp_path / "x.gguf", tmp_path / "nowhere"):
    with pytest.raises(ValueError, match=str(path)) as error:
      pretrained.load_tokenizer(path)
    assert "\n" not in str(error.value)
