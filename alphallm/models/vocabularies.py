"""The tokenizer that comes with a language model."""

import pathlib

from alphallm.formats import gguf
from alphallm.models import pretrained
from alphallm.tokenizer import folders, gguf_vocabulary, vocabulary


def load_tokenizer(path: str | pathlib.Path) -> vocabulary.Vocabulary:
  """Load the tokenizer of a language model.

  Args:
    path: a folder, a GGUF file or a name on the hub, as `load` takes it.

  Raises:
    ValueError: one line, if there is no such model, or its tokenizer is
      missing, malformed or of no kind that is read.
  """
  local = pretrained.find(path)
  if local.is_dir():
    return folders.load(local)
  try:
    return gguf_vocabulary.from_metadata(gguf.read(local).metadata)
  except OSError as error:
    raise ValueError(f"{local} cannot be read: {error.strerror}") from error
  except ValueError as error:
    line = str(error)
    raise ValueError(
      line if line.startswith(str(local)) else f"{local}: {line}"
    ) from error
