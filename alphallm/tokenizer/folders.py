"""Tokenizers of pretrained models: from a folder or file, and back to it."""

import dataclasses
import json
import pathlib
from typing import Any

from alphallm.tokenizer import byte_pairs, sentence_pieces, vocabulary

_JSON, _MODEL = "tokenizer.json", "tokenizer.model"
_CONFIG, _GENERATION = "tokenizer_config.json", "generation_config.json"
_TEMPLATE = "chat_template.jinja"
_PROBE = "A text, of 12 words:\n\té "  # that a tokenizer must survive


def load(path) -> vocabulary.Vocabulary:
  """Read the tokenizer of a model.

  Args:
    path: a folder that holds `tokenizer.json` or else `tokenizer.model`, or one
      of these files; what stands beside it is read too, for special tokens and
      the chat template: `tokenizer_config.json`, `generation_config.json`,
      `chat_template.jinja`.

  Raises:
    ValueError: one line that names what is missing or malformed.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    found = [path / name for name in (_JSON, _MODEL) if (path / name).exists()]
    if not found:
      raise ValueError(f"{path}: neither {_JSON} nor {_MODEL} is in it")
    path = found[0]
  try:
    if path.suffix == ".json":
      return _load_json(path)
    return _load_model(path)
  except OSError as error:
    raise ValueError(f"{path}: {error.strerror}") from error
  except ValueError as error:
    line = " ".join(str(error).split())
    raise ValueError(
      line if line.startswith(str(path.parent)) else f"{path}: {line}"
    ) from error


def save(tokenizer: vocabulary.Vocabulary, folder) -> None:
  """Write a tokenizer in the form that `load` and transformers read.

  Args:
    tokenizer: of which kind ever.
    folder: where its files go, made where there is none.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  marks, names = tokenizer.marks, tokenizer.names
  if isinstance(tokenizer, byte_pairs.BytePairs):
    tokenizer.model.save(str(folder / _JSON))
    kind = "PreTrainedTokenizerFast"
  else:
    (folder / _MODEL).write_bytes(tokenizer.proto)
    kind = "LlamaTokenizer"
  config = {
    "tokenizer_class": kind,
    "eos_token": names[marks.eos_id],
    "add_bos_token": bool(marks.prefix_ids),
    "clean_up_tokenization_spaces": False,
  }
  if marks.bos_id is not None:
    config["bos_token"] = names[marks.bos_id]
  if marks.chat_template is not None:
    config["chat_template"] = marks.chat_template
  _write(folder / _CONFIG, config)
  generation = _read(folder / _GENERATION)
  _write(folder / _GENERATION, generation | {"eos_token_id": [*marks.end_ids]})


def _load_json(path: pathlib.Path) -> vocabulary.Vocabulary:
  content, tokenizers = path.read_bytes(), byte_pairs.package()
  try:
    model = tokenizers.Tokenizer.from_buffer(content)
    model.encode(_PROBE)
    starts = tuple(model.encode("", add_special_tokens=True).ids[:1])
  except (KeyboardInterrupt, SystemExit):
    raise
  except BaseException as error:  # those of the package, panics among them
    raise ValueError(f"not a tokenizer ({str(error)[:200]})") from error
  marks = _marks(path.parent, model.token_to_id)
  if starts == (marks.bos_id,):
    marks = dataclasses.replace(marks, prefix_ids=starts)
  return byte_pairs.BytePairs(model, marks)


def _load_model(path: pathlib.Path) -> vocabulary.Vocabulary:
  proto = path.read_bytes()
  plain = sentence_pieces.SentencePieces(
    proto,
    vocabulary.Marks(eos_id=0),  # to know its tokens
  )
  ids = {name: i for i, name in enumerate(plain.names)}
  try:
    defaults = sentence_pieces.SentencePieces(proto).marks
  except ValueError:  # the files beside it may name an end
    defaults = None
  marks = _marks(path.parent, ids.get, defaults)
  config = _read(path.parent / _CONFIG)
  if config.get("add_bos_token", True) and marks.bos_id is not None:
    marks = dataclasses.replace(marks, prefix_ids=(marks.bos_id,))
  return sentence_pieces.SentencePieces(proto, marks)


def _marks(folder, id_of, defaults: vocabulary.Marks | None = None):
  """Read the special tokens that the files of a folder name."""
  config = _read(folder / _CONFIG)
  generation = _read(folder / _GENERATION) or _read(folder / "config.json")

  def token(name):
    value = config.get(f"{name}_token")
    value = value.get("content") if isinstance(value, dict) else value
    if value is None:
      return getattr(defaults, f"{name}_id", None)
    found = id_of(value) if isinstance(value, str) else None
    if found is None:
      raise ValueError(
        f"{folder / _CONFIG}: {name}_token {value!r} is no token"
      )
    return found

  ends = generation.get("eos_token_id")
  ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
  if not all(type(i) is int for i in ends):
    raise ValueError(f"{folder}: eos_token_id={ends} is not of numbers alone")
  eos_id = token("eos")
  if eos_id is None and not ends:
    raise ValueError("the tokenizer has no end-of-sequence token")
  return vocabulary.Marks(
    eos_id=ends[0] if eos_id is None else eos_id,
    bos_id=token("bos"),
    end_ids=tuple(ends),
    chat_template=_template(folder, config),
  )


def _template(folder, config: dict[str, Any]) -> str | None:
  path = folder / _TEMPLATE
  if path.exists():
    return path.read_text(encoding="utf-8")
  template = config.get("chat_template")
  if isinstance(template, list):  # several, each with a name
    named = {t.get("name"): t.get("template") for t in template}
    template = named.get("default")
  if template is not None and not isinstance(template, str):
    raise ValueError(f"{folder / _CONFIG}: chat_template is no text")
  return template


def _read(path: pathlib.Path) -> dict[str, Any]:
  """Return the object that a JSON file holds; an empty one without a file."""
  if not path.exists():
    return {}
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{path}: not JSON ({error})") from error
  if not isinstance(content, dict):
    raise ValueError(f"{path}: not an object")
  return content


def _write(path: pathlib.Path, content: dict[str, Any]) -> None:
  path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
