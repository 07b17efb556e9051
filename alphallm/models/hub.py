"""Where a model lies: on this machine, or first on the Hugging Face hub."""

import pathlib
import re

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]


def find(path: str | pathlib.Path) -> pathlib.Path:
  """Return where a model lies here: a folder or a file.

  Args:
    path: as `load` takes it; what is on the hub only is fetched from there.

  Raises:
    ValueError: if there is no such model.
  """
  local = pathlib.Path(path)
  if local.exists():
    return local
  if _HUB_NAME.fullmatch(str(path)):
    return _download(str(path))
  raise ValueError(f"{path} is no folder, no GGUF file and no name on the hub")


def _download(name: str) -> pathlib.Path:
  try:
    import huggingface_hub
  except ImportError as error:
    raise ValueError(
      f"{name} is not here, and models come from the hub by huggingface_hub:"
      " pip install 'alphallm[models]'"
    ) from error
  try:
    folder = huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES)
  except (OSError, ValueError) as error:
    reason = str(error).strip().split("\n")[0]
    raise ValueError(
      f"{name} is not here and did not come from the hub: {reason}"
    ) from error
  return pathlib.Path(folder)
