"""Small tokenizers of the kinds that pretrained models have."""

import functools
import io

import sentencepiece
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from alphallm.tokenizer import byte_pairs as byte_pairs_lib
from alphallm.tokenizer import vocabulary

TEXT = [
  "The quick brown fox jumps over the lazy dog.",
  "def f(x):\n  return x + 17 * 25\n",
  "Größe, naïve, 東京 and 🙂🙃",
] * 4
SPECIAL = ["<|end|>", "<|start|>"]
TEMPLATE = (
  "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n"
  "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@functools.cache
def byte_level_json() -> str:
  """Return a byte-level BPE that splits digits, as a `tokenizer.json`."""
  model = tokenizers.Tokenizer(models.BPE())
  model.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Digits(individual_digits=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  model.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=300,
    special_tokens=SPECIAL,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  model.train_from_iterator(TEXT, trainer)
  model.post_processor = processors.TemplateProcessing(
    single="<|start|> $A", special_tokens=[("<|start|>", 1)]
  )
  return model.to_str()


def byte_pairs() -> vocabulary.Vocabulary:
  """Return the tokenizer of `byte_level_json`, with its special tokens."""
  marks = vocabulary.Marks(
    eos_id=0, bos_id=1, prefix_ids=(1,), chat_template=TEMPLATE
  )
  model = tokenizers.Tokenizer.from_str(byte_level_json())
  return byte_pairs_lib.BytePairs(model, marks)


@functools.cache
def sentence_pieces(**options) -> bytes:
  """Return a SentencePiece model in the manner of Llama's."""
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(TEXT),
    model_writer=model,
    **{
      "model_type": "bpe",
      "vocab_size": 380,
      "byte_fallback": True,
      "character_coverage": 0.98,
      "normalization_rule_name": "identity",
      "remove_extra_whitespaces": False,
      "split_digits": True,
      "unk_id": 0,
      "bos_id": 1,
      "eos_id": 2,
      "pad_id": -1,
      "minloglevel": 2,
      **options,
    },
  )
  return model.getvalue()
