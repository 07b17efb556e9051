"""Runs of language models that are not here: known by their shape alone."""

import dataclasses
import pathlib
from typing import Any

from alphallm import config as config_lib
from alphallm import values
from alphallm.formats import documents
from alphallm.models import hugging_face, transformer


def _qwen(width, heads, kv_heads, layers, mlp, vocabulary=151_936, tied=False):
  return dict(
    model_type="qwen2",
    hidden_act="silu",
    hidden_size=width,
    num_attention_heads=heads,
    num_key_value_heads=kv_heads,
    num_hidden_layers=layers,
    intermediate_size=mlp,
    max_position_embeddings=32_768,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=tied,
    vocab_size=vocabulary,
  )


def _llama(width, heads, layers, mlp):
  return dict(
    model_type="llama",
    hidden_act="silu",
    hidden_size=width,
    num_attention_heads=heads,
    num_key_value_heads=8,
    num_hidden_layers=layers,
    intermediate_size=mlp,
    max_position_embeddings=8_192,
    rms_norm_eps=1e-5,
    rope_theta=5e5,
    tie_word_embeddings=False,
    vocab_size=128_256,
  )


# What their `config.json` says, as far as it counts here.
SHAPES = {
  "qwen2.5-0.5b": _qwen(896, 14, 2, 24, 4_864, tied=True),
  "qwen2.5-1.5b": _qwen(1_536, 12, 2, 28, 8_960, tied=True),
  "qwen2.5-7b": _qwen(3_584, 28, 4, 28, 18_944, vocabulary=152_064),
  "llama3-8b": _llama(4_096, 32, 32, 14_336),
  "llama3-70b": _llama(8_192, 64, 80, 28_672),
}


def find(name: str) -> transformer.TransformerConfig:
  """Return the shape of a model.

  Args:
    name: one of `SHAPES`, or the path of a `config.json` in Hugging Face form.

  Raises:
    UserError: if it is neither.
  """
  path = pathlib.Path(name)
  if name in SHAPES:
    return hugging_face.config_of(SHAPES[name])
  if not path.is_file():
    raise values.UserError(
      f"--shape={name} is no config.json and none of {', '.join(SHAPES)}"
    )
  try:
    return hugging_face.config_of(documents.read(path))
  except (OSError, ValueError) as error:
    raise values.UserError(f"--shape={name}: {error}") from error


def run_of(settings: dict[str, Any], name: str) -> config_lib.Run:
  """Make the parts of a run as they would be with a model of such a shape.

  Neither its weights and its tokenizer nor the problems are needed: where the
  config's own task cannot be made, sums stand in for it, whose prompts and
  steps have the same room. What the programs cost does not depend on what the
  text says.

  Args:
    settings: the config, in plain values.
    name: of the shape, see `find`.

  Raises:
    UserError: as `config.make_run`.
  """

  def parts(settings, workdir):
    del workdir
    given = dict(settings["model"])
    kept = {
      key: given[key]
      for key in ("dtype", "param_dtype", "remat")
      if key in given
    }
    for key, value in kept.items():
      values.check_value(f"model.{key}", value, str)
    try:
      shape = dataclasses.replace(find(name), **kept)
    except ValueError as error:
      raise values.UserError(f"config.model: {error}") from error
    return pathlib.Path(name), _task(dict(settings["task"])), shape

  return config_lib.run_of(settings, make_parts=parts)


def _task(settings: dict[str, Any]) -> Any:
  """Return the task, or sums in its place where it reads what is not here."""
  if settings.get("kind") == "GradeSchool":
    sizes = ("max_prompt_tokens", "max_step_tokens", "max_steps")
    rooms = {key: settings[key] for key in sizes if key in settings}
    settings = dict(kind="Sums", **rooms)
  _, task, _ = config_lib.make_policy_parts(
    {"task": settings, "model": {}}, None
  )
  return task
