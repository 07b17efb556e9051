"""Trained weights: from devices into files that others read too."""

import json
import os
import pathlib
import shutil
from typing import Any

import chex
import jax
import numpy as np

from alphallm.formats import documents, safetensors
from alphallm.models import (
  families,
  hub,
  hugging_face,
  pretrained,
  transformer,
)

# What goes along from the folder that a model came from.
_TOKENIZER_FILES = (
  "added_tokens.json",
  "chat_template.jinja",
  "generation_config.json",
  "merges.txt",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "vocab.json",
)
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def save(
  folder: str | pathlib.Path,
  model: transformer.PolicyValueTransformer,
  params: chex.ArrayTree,
  *,
  source: str | pathlib.Path | None = None,
  max_file_bytes: int = 5 * 10**9,
) -> None:
  """Write a language model in Hugging Face form, and its value head beside it.

  The folder appears when all of it is written, under its name with
  `.unfinished` behind it until then.

  Args:
    folder: where to; it must not exist.
    model: of one of the families that `load` reads.
    params: of the model; they keep their types.
    source: what the model was loaded from, if that was a folder or a name on
      the hub: its tokenizer goes along.
    max_file_bytes: more weights than these go into several files.

  Raises:
    ValueError: if the folder exists, no family computes what the model does, or
      the parameters are not those of the model.
  """
  folder = pathlib.Path(folder)
  if folder.exists():
    raise ValueError(f"{folder} exists; save to another folder or remove it")
  settings = hugging_face.settings_of(model.config)
  family = families.family_of(settings)
  weights, value_head = {}, {}
  for path, leaf in _leaves(model, params).items():
    name = families.name_of(family, path)
    if name is None:
      value_head[pretrained.VALUE_NAMES[path]] = _Theirs(path, leaf)
    else:
      weights[name] = _Theirs(path, leaf)
  dtype = np.dtype(weights["model.embed_tokens.weight"].dtype)
  settings["torch_dtype"] = str(dtype)

  unfinished = folder.with_name(f"{folder.name}.unfinished")
  shutil.rmtree(unfinished, ignore_errors=True)
  unfinished.mkdir(parents=True)
  if source is not None:
    settings |= _bring(hub.find(source), unfinished)
  _write_weights(unfinished, weights, max_file_bytes)
  _write(unfinished / pretrained.VALUE_HEAD, value_head)
  # Last: without it a folder holds no model.
  _write_json(unfinished / pretrained.CONFIG, settings)
  unfinished.rename(folder)


class _Theirs:
  """A parameter as it lies in their files."""

  def __init__(self, path: str, leaf: Any):
    self._leaf = leaf
    self._transposed = path.endswith("kernel")
    self.dtype = np.dtype(leaf.dtype)
    self.shape = leaf.shape[::-1] if self._transposed else leaf.shape
    self.bytes = leaf.size * self.dtype.itemsize

  def fetch(self) -> np.ndarray:
    array = np.asarray(self._leaf)
    return array.T if self._transposed else array


def _leaves(model, params) -> dict[str, Any]:
  """Return the parameters by our path, if they are those of the model."""
  abstract = jax.eval_shape(
    lambda key: transformer.init_params(model.config, key), jax.random.key(0)
  )
  shapes = lambda tree: {
    jax.tree_util.keystr(keys): leaf.shape
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
  wrong = sorted(set(shapes(abstract).items()) ^ set(shapes(params).items()))
  if wrong:
    name, shape = wrong[0]
    raise ValueError(
      "the parameters are not those of the model: one of them has"
      f" {name} of shape {list(shape)}"
    )
  return {
    pretrained.path_of(keys): leaf
    for keys, leaf in jax.tree_util.tree_leaves_with_path(params)
  }


def _write(path: pathlib.Path, tensors: dict[str, _Theirs]) -> None:
  safetensors.write(path, tensors, lambda name: tensors[name].fetch())


def _write_weights(folder, weights, max_bytes) -> None:
  """Write one file, or several and an index of them."""
  files, room = [], 0
  for name, tensor in weights.items():
    if not files or tensor.bytes > room:
      files.append({})
      room = max_bytes
    files[-1][name] = tensor
    room -= tensor.bytes
  if len(files) == 1:
    _write(folder / pretrained.WEIGHTS, weights)
    return
  places = {}
  for number, tensors in enumerate(files, start=1):
    file = f"model-{number:05d}-of-{len(files):05d}.safetensors"
    _write(folder / file, tensors)
    places |= dict.fromkeys(tensors, file)
  total = sum(tensor.bytes for tensor in weights.values())
  _write_json(
    folder / pretrained.INDEX,
    {"metadata": {"total_size": total}, "weight_map": places},
  )


def _write_json(path: pathlib.Path, value: Any) -> None:
  with path.open("w") as file:
    file.write(json.dumps(value, indent=2) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _bring(source: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
  """Copy the tokenizer; return the settings that name its special tokens."""
  if not source.is_dir():
    raise ValueError(f"{source} is no folder with a tokenizer")
  for name in _TOKENIZER_FILES:
    if (source / name).exists():
      shutil.copyfile(source / name, folder / name)
  settings = documents.read(source / pretrained.CONFIG)
  return {key: settings[key] for key in _TOKENS if key in settings}
