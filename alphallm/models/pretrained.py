"""Pretrained weights: from files onto devices."""

import dataclasses
import functools
import pathlib
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from alphallm.formats import documents, gguf, safetensors, stored
from alphallm.models import (
  classifiers,
  families,
  gguf_models,
  hub,
  hugging_face,
  transformer,
)
from alphallm.tokenizer import folders, gguf_vocabulary, vocabulary

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
VALUE_HEAD = "value_head.safetensors"
# Names in the file of the value head.
VALUE_NAMES = {"value_head/kernel": "weight", "value_head/bias": "bias"}

_CHUNK = 2**20  # numbers that are decoded at a time
# Buffers that older files hold beside the parameters.
_BUFFER = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


class _Checkpoint(NamedTuple):
  """A model in files.

  Attributes:
    path: where it lies.
    config: its shape and options.
    tensors: all that the files hold, by their names.
    name_of: their name of a parameter of ours, None for those of a value head.
    restore: what makes ours of the rows of theirs, None where they are equal.
    value_head: where one may lie.
    head: tensors of a value head that lies among the others.
  """

  path: pathlib.Path
  config: transformer.TransformerConfig
  tensors: Mapping[str, stored.Stored]
  name_of: Callable[[str], str | None]
  restore: Callable[[str], Callable[[np.ndarray], np.ndarray] | None]
  value_head: pathlib.Path
  head: Mapping[str, Any] = types.MappingProxyType({})


def load(
  path: str | pathlib.Path,
  *,
  dtype: str = "float32",
  param_dtype: str | None = None,
  sharding: Any = None,
) -> tuple[transformer.PolicyValueTransformer, chex.ArrayTree]:
  """Load a language model, with the value head that was saved with it.

  Of a reward model its head is the value head; see `classifiers`.

  Args:
    path: a folder in Hugging Face form (`config.json` and safetensors), a GGUF
      file, or a name on the Hugging Face hub.
    dtype: of the computation.
    param_dtype: of the parameters, `dtype` if None.
    sharding: where the parameters go: a `jax.sharding.Sharding` for all of
      them, or a function from the abstract parameters to their shardings, such
      as `alphallm.sharding.state` of a mesh. The default device if None.

  Returns:
    The model and its parameters, which come through the memory of the host one
    tensor at a time. A model without a value head has 1/2 everywhere.

  Raises:
    ValueError: if there is no such model, it is of no family that is read, its
      files are malformed, or a tensor is missing, misshapen or unknown.
  """
  checkpoint = _open(path)
  config = _typed(checkpoint.config, dtype, param_dtype)
  model = transformer.PolicyValueTransformer(config)
  abstract = jax.eval_shape(
    lambda key: transformer.init_params(config, key), jax.random.key(0)
  )
  tensors = _match(checkpoint, abstract)
  if sharding is None or isinstance(sharding, jax.sharding.Sharding):
    shardings = jax.tree.map(lambda _: sharding, abstract)
  else:
    shardings = sharding(abstract)

  def place(path, like, sharding):
    path = path_of(path)
    array = np.zeros(like.shape, like.dtype)
    if path in tensors:
      _fill(
        array.T if path.endswith("kernel") else array,
        tensors[path],
        checkpoint.restore(path),
        config.head_dim,
      )
    if sharding is None:
      return jax.device_put(array).block_until_ready()
    return jax.make_array_from_callback(
      array.shape, sharding, lambda index: array[index]
    ).block_until_ready()

  params = jax.tree_util.tree_map_with_path(
    place, abstract, shardings, is_leaf=lambda x: x is None
  )
  return model, params


def shape(
  path: str | pathlib.Path,
  *,
  dtype: str = "float32",
  param_dtype: str | None = None,
) -> transformer.TransformerConfig:
  """Return the config of the model that `load` would load; no weight is read.

  Raises:
    ValueError: as `load`, of what is seen without the weights.
  """
  return _typed(_open(path).config, dtype, param_dtype)


def load_tokenizer(path: str | pathlib.Path) -> vocabulary.Vocabulary:
  """Return the tokenizer of a model.

  Args:
    path: as `load` takes it.

  Raises:
    ValueError: if there is no such model, or its tokenizer is malformed.
  """
  local = hub.find(path)
  if local.is_dir():
    return folders.load(local)
  try:
    return gguf_vocabulary.from_metadata(gguf.read(local).metadata)
  except (OSError, ValueError) as error:
    where = "" if str(local) in str(error) else f"{local}: "
    raise ValueError(f"{where}{error}") from error


def _typed(config, dtype, param_dtype):
  return dataclasses.replace(
    config, dtype=dtype, param_dtype=param_dtype or dtype
  )


def path_of(keys: tuple[Any, ...]) -> str:
  """Return the path of a parameter, "layer_0/query/kernel"."""
  return "/".join(key.key for key in keys[1:])


def _fill(array, tensor, restore, head_dim):
  """Copy a tensor, some whole heads of rows at a time."""
  width = max(1, array.size // max(1, len(array)))
  step = -(-_CHUNK // (width * head_dim)) * head_dim
  for start in range(0, len(array), step):
    rows = tensor.read(start, start + step)
    array[start : start + step] = rows if restore is None else restore(rows)


def _match(checkpoint, abstract) -> dict[str, stored.Stored]:
  """Return the tensor of each parameter that has one, by our path.

  Raises:
    ValueError: if one is missing, misshapen or unknown.
  """
  left = {k: v for k, v in checkpoint.tensors.items() if not _BUFFER.match(k)}
  values, home = dict(checkpoint.head), checkpoint.path
  if not values and checkpoint.value_head.exists():
    values, home = (
      safetensors.read(checkpoint.value_head),
      checkpoint.value_head,
    )
  has_head = bool(values) or checkpoint.value_head.exists()
  tensors = {}
  for keys, like in jax.tree_util.tree_leaves_with_path(abstract):
    path = path_of(keys)
    name, source, place = checkpoint.name_of(path), left, checkpoint.path
    if name is None:
      name, source, place = VALUE_NAMES[path], values, home
      without_bias = checkpoint.head and "bias" not in checkpoint.head
      if not has_head or (without_bias and name == "bias"):
        continue
    shape = like.shape[::-1] if path.endswith("kernel") else like.shape
    tensor = source.pop(name, None)
    if tensor is None:
      raise ValueError(f"{place}: the tensor {name!r} is missing")
    if tensor.shape != shape:
      raise ValueError(
        f"{place}: the tensor {name!r} has shape {list(tensor.shape)} instead"
        f" of {list(shape)}"
      )
    tensors[path] = tensor
  head = checkpoint.name_of("lm_head/kernel")
  if head in left and _equal(left[head], tensors["embed/embedding"]):
    del left[head]  # a copy of the embedding, to which the head is tied
  for place, rest in (checkpoint.path, left), (home, values):
    if rest:
      more = f" and {len(rest) - 1} more" if len(rest) > 1 else ""
      raise ValueError(
        f"{place}: the tensor {min(rest)!r}{more} belongs to no part of the"
        " model"
      )
  return tensors


def _equal(a, b) -> bool:
  if a.shape != b.shape:
    return False
  step = max(1, _CHUNK // a.shape[-1])
  return all(
    np.array_equal(a.read(i, i + step), b.read(i, i + step))
    for i in range(0, a.num_rows, step)
  )


def _open(path) -> _Checkpoint:
  """Find a model and read what its files say of themselves."""
  local = hub.find(path)
  try:
    return _open_folder(local) if local.is_dir() else _open_gguf(local)
  except OSError as error:
    raise ValueError(f"{path} cannot be read: {error}") from error


def _open_folder(folder: pathlib.Path) -> _Checkpoint:
  if not (folder / CONFIG).exists():
    raise ValueError(f"{folder} has no {CONFIG}: it holds no model")
  settings = documents.read(folder / CONFIG)
  tensors = _tensors(folder)
  try:
    settings, tensors, head = classifiers.split(settings, tensors)
    config = hugging_face.config_of(settings)
    family = families.family_of(settings)
  except ValueError as error:
    raise ValueError(f"{folder / CONFIG}: {error}") from error
  return _checked(
    _Checkpoint(
      path=folder,
      config=config,
      tensors=tensors,
      name_of=functools.partial(families.name_of, family),
      restore=lambda path: None,
      value_head=folder / VALUE_HEAD,
      head=head,
    )
  )


def _tensors(folder: pathlib.Path) -> dict[str, stored.Stored]:
  """Return the tensors of a folder, from one file or from several."""
  if (folder / WEIGHTS).exists():
    return safetensors.read(folder / WEIGHTS)
  if not (folder / INDEX).exists():
    raise ValueError(f"{folder} has neither {WEIGHTS} nor {INDEX}")
  places = documents.read(folder / INDEX).get("weight_map")
  if not isinstance(places, dict) or not all(
    isinstance(file, str) and re.fullmatch(r"[\w.-]+\.safetensors", file)
    for file in places.values()
  ):
    raise ValueError(f"{folder / INDEX} has no weight_map of file names")
  tensors = {}
  for file in sorted(set(places.values())):
    if not (folder / file).is_file():
      raise ValueError(f"{folder / file} is missing, which {INDEX} names")
    for name, tensor in safetensors.read(folder / file).items():
      if places.get(name) != file:
        raise ValueError(f"{folder / file}: {INDEX} has {name!r} elsewhere")
      tensors[name] = tensor
  return tensors


def _open_gguf(file: pathlib.Path) -> _Checkpoint:
  metadata, tensors = gguf.read(file)
  try:
    config = gguf_models.config_of(metadata, tensors)
  except ValueError as error:
    raise ValueError(f"{file}: {error}") from error
  tensors.pop(gguf_models.FREQUENCIES, None)
  return _checked(
    _Checkpoint(
      path=file,
      config=config,
      tensors=tensors,
      name_of=gguf_models.name_of,
      restore=functools.partial(
        gguf_models.restore, metadata["general.architecture"], config
      ),
      value_head=file.with_name(VALUE_HEAD),
    )
  )


def _checked(checkpoint: _Checkpoint) -> _Checkpoint:
  """Return a checkpoint that has as many tensors as layers, at least."""
  if checkpoint.config.num_layers > len(checkpoint.tensors):
    raise ValueError(
      f"{checkpoint.path}: {len(checkpoint.tensors)} tensors are too few for"
      f" {checkpoint.config.num_layers} layers"
    )
  return checkpoint
