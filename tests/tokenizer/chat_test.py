import time

import foreign_tokenizers as foreign
import gguf_vocabulary_test
import pytest
import tokenizers

from alphallm import tokenizer
from alphallm.sandbox import workers
from alphallm.tokenizer import byte_pairs, chat

smollm2 = gguf_vocabulary_test.smollm2
MESSAGES = [
  {"role": "system", "content": "Be brief."},
  {"role": "user", "content": "What is 17 + 25?"},
]


def vocabulary(template):
  model = tokenizers.Tokenizer.from_str(foreign.byte_level_json())
  marks = tokenizer.Marks(eos_id=0, bos_id=1, chat_template=template)
  return byte_pairs.BytePairs(model, marks)


def test_a_conversation():
  spoken = chat.render(vocabulary(foreign.TEMPLATE), MESSAGES)
  assert spoken == (
    "<|start|>system\nBe brief.<|end|>\n"
    "<|start|>user\nWhat is 17 + 25?<|end|>\n"
    "<|start|>assistant\n"
  )
  ids = chat.encode(vocabulary(foreign.TEMPLATE), MESSAGES[1:])
  assert ids[0] == 1 and ids.count(0) == 1


def test_what_templates_may_use():
  template = """
    {%- for m in messages %}
        {%- if loop.first %}{% continue %}{% endif %}
        {{- bos_token + (m | tojson) + eos_token }}
    {%- endfor %}
    {% generation %}{{ strftime_now("%Y") | length }}{% endgeneration %}
  {{ extra }}"""
  spoken = chat.render(vocabulary(template), MESSAGES, extra="ä")
  first = '<|start|>{"role": "user", "content": "What is 17 + 25?"}<|end|>'
  assert spoken == f"{first}4  ä"


@pytest.mark.parametrize(
  ("template", "message"),
  [
    (None, "has no chat template"),
    ("{% for %}", "TemplateSyntaxError"),
    ("{{ raise_exception('roles must\nalternate') }}", "roles must alternate"),
    ("{{ messages.__class__.__mro__ }}", "SecurityError"),
    ("{% set _ = messages.append(1) %}", "SecurityError"),
    ("{{ cycler.__init__.__globals__.os.system('true') }}", "SecurityError"),
    ("{{ nothing.at.all }}", "UndefinedError"),
    ("{{ 'a' * 10000000000 }}", "MemoryError"),
    ("{{ 'a' * 2000000 }}", "more than 1000000 characters"),
    ("{% for i in range(99999999) %}a{% endfor %}", "Range too big"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
  ],
)
def test_templates_that_fail_do_so_in_one_line(template, message):
  with pytest.raises(ValueError, match=message) as error:
    chat.render(vocabulary(template), MESSAGES)
  assert "\n" not in str(error.value)


def test_templates_that_never_end_are_stopped(monkeypatch):
  quick = workers.Workers(
    "alphallm.sandbox.template", seconds=0.5, memory_bytes=1 << 30
  )
  monkeypatch.setattr(chat, "_workers", lambda: quick)
  assert chat.render(vocabulary("a"), MESSAGES) == "a"
  loops = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
    "{% endfor %}"
  )
  for template in loops, "{{ 10 ** (10 ** 10) }}":
    began = time.monotonic()
    assert chat.render(vocabulary("a"), MESSAGES) == "a"
    with pytest.raises(ValueError, match="no answer in time"):
      chat.render(vocabulary(template), MESSAGES)
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_smollm2_against_transformers(smollm2):
  transformers = pytest.importorskip("transformers")
  theirs = gguf_vocabulary_test.as_transformers(transformers, smollm2)
  ours = gguf_vocabulary_test.gguf_vocabulary.from_metadata(smollm2)
  more = [*MESSAGES, {"role": "assistant", "content": "42"}, MESSAGES[1]]
  for messages in MESSAGES, MESSAGES[1:], more:
    for prompt in True, False:
      options = {"add_generation_prompt": prompt}
      text = theirs.apply_chat_template(messages, tokenize=False, **options)
      assert chat.render(ours, messages, **options) == text
      ids = theirs.apply_chat_template(messages, return_dict=False, **options)
      assert chat.encode(ours, messages, **options) == ids
