"""A pretrained language model as the first policy of a run.

The run keeps a copy of it in its workdir, a model folder in Hugging Face form:
what it was begun from is there for its resuming, for the policy to be held to
and to be compared with, wherever the original goes.
"""

import dataclasses
import pathlib
import shutil
from typing import Any

from alphallm import models, tokenizer, values
from alphallm.models import hub, pretrained, transformer
from alphallm.tokenizer import folders

FOLDER = "pretrained"  # of a workdir, with the copy


def find(path: Any, workdir: pathlib.Path | None) -> pathlib.Path:
  """Return where a model lies: its copy in the workdir, or else at `path`.

  Args:
    path: a model folder, a GGUF file or a name on the Hugging Face hub.
    workdir: of the run, if it has begun.

  Raises:
    ValueError: if there is no such model.
  """
  if workdir is not None and (workdir / FOLDER).exists():
    return workdir / FOLDER
  if not isinstance(path, str) or not path:
    raise ValueError(
      f"{path!r} is no path: give a model folder, a GGUF file, or a name on "
      "the Hugging Face hub"
    )
  return hub.find(path)


def shape(
  source: pathlib.Path, vocabulary: tokenizer.Vocabulary, **dtypes: str
) -> transformer.TransformerConfig:
  """Return the shape of a model, which must have room for the vocabulary.

  Args:
    source: where the model lies.
    vocabulary: its tokenizer.
    **dtypes: `dtype` of the computation, `param_dtype` of the parameters.

  Raises:
    ValueError: if the model is malformed or too small.
  """
  config = dataclasses.replace(pretrained.shape(source), **dtypes)
  if vocabulary.vocab_size > config.vocab_size:
    raise ValueError(
      f"{source} has a tokenizer of {vocabulary.vocab_size} tokens for a model "
      f"of {config.vocab_size}"
    )
  return config


def load(
  source: pathlib.Path,
  config: transformer.TransformerConfig,
  *,
  sharding: Any = None,
) -> Any:
  """Return the parameters of a model.

  Args:
    source: where the model lies.
    config: whose dtypes they have.
    sharding: as of `models.load`.

  Raises:
    UserError: if its files are damaged.
  """
  try:
    _, params = models.load(
      source,
      dtype=config.dtype,
      param_dtype=config.param_dtype,
      sharding=sharding,
    )
  except ValueError as error:
    raise values.UserError(str(error)) from error
  return params


def keep(
  workdir: pathlib.Path,
  model: transformer.PolicyValueTransformer,
  params: Any,
  vocabulary: tokenizer.Vocabulary,
) -> None:
  """Write the copy of a run's pretrained model into its workdir, anew.

  Raises:
    ValueError: if the model cannot be written in this form.
    OSError: if the folder cannot be.
  """
  shutil.rmtree(workdir / FOLDER, ignore_errors=True)
  models.save(workdir / FOLDER, model, params)
  folders.save(vocabulary, workdir / FOLDER)
