"""Folders of Hugging Face's reward models, made of ours."""

import json

import checkpoints
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import models
from alphallm.formats import safetensors

RNG = np.random.default_rng(0)
TOKENS = jnp.array([[[1, 2, 3, 4]]])
PLACES = jnp.arange(4)[None, None]


def reward_folder(path, kind, weight, bias=None):
  """Write a folder as transformers writes it, and return our model of it."""
  model, params = checkpoints.make("llama3")
  models.save(path, model, params)
  (path / "value_head.safetensors").unlink()
  file = path / "model.safetensors"
  tensors = {k: x.read() for k, x in safetensors.read(file).items()}
  tensors.pop("lm_head.weight", None)
  tensors["score.weight"] = np.float32(weight)
  if bias is not None:
    tensors["score.bias"] = np.float32(bias)
  safetensors.write(file, tensors, tensors.get)
  settings = json.loads((path / "config.json").read_text())
  settings["architectures"] = [f"LlamaFor{kind}Classification"]
  labels = [f"LABEL_{i}" for i in range(len(weight))]
  settings["id2label"] = dict(enumerate(labels))
  settings["label2id"] = {label: i for i, label in enumerate(labels)}
  (path / "config.json").write_text(json.dumps(settings))
  return model, params


def class_logits(model, params, weight, bias):
  """Return what a row of their head says of each token, row by row."""
  found = []
  for row, constant in zip(weight, bias, strict=True):
    head = {
      "kernel": jnp.float32(row)[:, None],
      "bias": jnp.float32([constant]),
    }
    changed = {"params": {**params["params"], "value_head": head}}
    found.append(model.apply(changed, TOKENS, PLACES).value_logits)
  return np.stack(found, axis=-1)


@pytest.mark.parametrize(
  ("kind", "classes", "has_bias"),
  [("Sequence", 1, False), ("Token", 2, True), ("Sequence", 2, False)],
)
def test_their_head_is_our_value_head(tmp_path, kind, classes, has_bias):
  size = checkpoints.make("llama3")[0].config.embed_dim
  weight = RNG.normal(size=(classes, size))
  bias = RNG.normal(size=classes) * has_bias
  model, params = reward_folder(
    tmp_path / "x", kind, weight, bias if has_bias else None
  )
  wanted = class_logits(model, params, weight, bias)
  if classes == 2:
    softmax = np.exp(wanted) / np.exp(wanted).sum(-1, keepdims=True)
    wanted = softmax[..., 1]
  else:
    wanted = jax.nn.sigmoid(wanted[..., 0])
  found, read = models.load(tmp_path / "x")
  values = jax.nn.sigmoid(found.apply(read, TOKENS, PLACES).value_logits)
  np.testing.assert_allclose(values, wanted, atol=1e-5)


def test_heads_that_are_no_reward_are_refused(tmp_path):
  size = checkpoints.make("llama3")[0].config.embed_dim
  reward_folder(tmp_path / "x", "Token", np.zeros((3, size)))
  with pytest.raises(ValueError, match="head of 3 classes"):
    models.load(tmp_path / "x")
  file = tmp_path / "x" / "model.safetensors"
  tensors = {k: x.read() for k, x in safetensors.read(file).items()}
  tensors.pop("score.weight")
  safetensors.write(file, tensors, tensors.get)
  with pytest.raises(ValueError, match="'score.weight' is missing"):
    models.load(tmp_path / "x")
