"""Train a SentencePiece vocabulary on a corpus.

python -m alphallm.vocabulary --corpus FILE --out tokenizer.model [--size 4000]
    [--symbols "<think>,</think>"]

A corpus is text, a line each, or JSON lines as `config.data.path` takes them.
Digits are tokens of their own; ids 0 to 3 are padding, unknown, start and end,
and the newline is one token. `config.data.vocabulary` takes the file.
"""

import pathlib

from absl import flags

from alphallm import config as config_lib
from alphallm import program, tokenizer
from alphallm.initialization import records

_CORPUS = flags.DEFINE_string("corpus", None, "What it is trained on.")
_OUT = flags.DEFINE_string("out", None, "Where the vocabulary goes.")
_SIZE = flags.DEFINE_integer(
  "size", 4000, "The largest number of tokens.", lower_bound=8
)
_KIND = flags.DEFINE_enum(
  "kind", "unigram", ["unigram", "char"], "Pieces of words, or characters."
)
_SYMBOLS = flags.DEFINE_list(
  "symbols", [], "Texts that are one token each, wherever they stand."
)


def main(argv) -> None:
  del argv
  for flag in (program.CONFIG, program.WORKDIR):
    if flag.present:
      raise config_lib.UserError(f"--{flag.name}: a vocabulary has none")
  out = pathlib.Path(_OUT.value)
  if not out.absolute().parent.is_dir():
    raise config_lib.UserError(f"--out: {out.parent} is no folder")
  try:
    lines = records.read_corpus(_CORPUS.value)
  except ValueError as error:
    raise config_lib.UserError(f"--corpus: {error}") from error
  print(f"{_CORPUS.value}: {len(lines):,} lines", flush=True)
  try:
    trained = tokenizer.Tokenizer.train(
      lines,
      model_type=_KIND.value,
      vocab_size=_SIZE.value,
      symbols=_SYMBOLS.value,
    )
  except RuntimeError as error:  # of SentencePiece
    raise config_lib.UserError(
      f"--size={_SIZE.value}: no vocabulary comes of it: {_reason(error)}"
    ) from error
  trained.save(out)
  some = lines[:1000]
  tokens = sum(len(trained.encode(line)) for line in some)
  size = sum(len(line.encode()) for line in some)
  print(
    f"{trained.vocab_size:,} tokens, {size / tokens:.2f} bytes a token in the "
    f"first {len(some):,} lines: {out}"
  )


def _reason(error: RuntimeError) -> str:
  """Return what SentencePiece says, without its place in the source."""
  return " ".join(str(error).split()).rpartition("] ")[2]


if __name__ == "__main__":
  program.run(main, needs=("corpus", "out"))
