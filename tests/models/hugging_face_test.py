import dataclasses

import checkpoints
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphallm.models import hugging_face, rope

# As they are on the hub, less what says nothing of the function.
LLAMA_32 = {
  "architectures": ["LlamaForCausalLM"],
  "attention_bias": False,
  "attention_dropout": 0.0,
  "eos_token_id": [128001, 128008, 128009],
  "head_dim": 64,
  "hidden_act": "silu",
  "hidden_size": 2048,
  "intermediate_size": 8192,
  "max_position_embeddings": 131072,
  "mlp_bias": False,
  "model_type": "llama",
  "num_attention_heads": 32,
  "num_hidden_layers": 16,
  "num_key_value_heads": 8,
  "pretraining_tp": 1,
  "rms_norm_eps": 1e-05,
  "rope_scaling": {
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
  },
  "rope_theta": 500000.0,
  "tie_word_embeddings": True,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.45.0.dev0",
  "use_cache": True,
  "vocab_size": 128256,
}
QWEN_25 = {
  "architectures": ["Qwen2ForCausalLM"],
  "hidden_act": "silu",
  "hidden_size": 896,
  "intermediate_size": 4864,
  "max_position_embeddings": 32768,
  "max_window_layers": 21,
  "model_type": "qwen2",
  "num_attention_heads": 14,
  "num_hidden_layers": 24,
  "num_key_value_heads": 2,
  "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0,
  "sliding_window": 32768,
  "tie_word_embeddings": True,
  "use_sliding_window": False,
  "vocab_size": 151936,
}
GEMMA_3 = {
  "architectures": ["Gemma3ForCausalLM"],
  "attention_bias": False,
  "attn_logit_softcapping": None,
  "cache_implementation": "hybrid",
  "final_logit_softcapping": None,
  "head_dim": 256,
  "hidden_activation": "gelu_pytorch_tanh",
  "hidden_size": 1152,
  "intermediate_size": 6912,
  "max_position_embeddings": 32768,
  "model_type": "gemma3_text",
  "num_attention_heads": 4,
  "num_hidden_layers": 26,
  "num_key_value_heads": 1,
  "query_pre_attn_scalar": 256,
  "rms_norm_eps": 1e-06,
  "rope_local_base_freq": 10000,
  "rope_scaling": None,
  "rope_theta": 1000000,
  "sliding_window": 512,
  "sliding_window_pattern": 6,
  "vocab_size": 262144,
}


def test_llama():
  c = hugging_face.config_of(LLAMA_32)
  assert c.rope_scaling == rope.Llama3(32.0, 1.0, 4.0, 8192)
  assert (c.num_heads, c.num_kv_heads, c.head_dim) == (32, 8, 64)
  assert c.tie_embeddings and c.norm_eps == 1e-5 and c.mlp == "swiglu"


def test_qwen():
  c = hugging_face.config_of(QWEN_25)
  assert c.attention_bias and not c.local_layers and c.head_dim == 64
  windows = QWEN_25 | {"use_sliding_window": True}
  c = hugging_face.config_of(windows)
  assert c.local_layers == (21, 22, 23) and c.window == 32768


def test_gemma():
  c = hugging_face.config_of(GEMMA_3)
  whole = set(range(26)) - set(c.local_layers)
  assert whole == {5, 11, 17, 23} and c.window == 512
  assert (c.rope_theta, c.local_rope_theta) == (1e6, 1e4)
  assert c.norm_offset and c.post_norms and c.scale_embeddings
  assert c.tie_embeddings and c.query_key_norm and c.mlp == "geglu"


def test_the_newer_form_of_rotary_positions():
  new = {k: v for k, v in LLAMA_32.items() if "rope" not in k}
  new["rope_parameters"] = LLAMA_32["rope_scaling"] | {"rope_theta": 500000.0}
  assert hugging_face.config_of(new) == hugging_face.config_of(LLAMA_32)
  new = {k: v for k, v in GEMMA_3.items() if "rope" not in k}
  new["rope_parameters"] = {
    "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
  }
  assert hugging_face.config_of(new) == hugging_face.config_of(GEMMA_3)


@pytest.mark.parametrize("name", checkpoints.CONFIGS)
def test_there_and_back(name):
  config = checkpoints.CONFIGS[name]
  assert hugging_face.config_of(hugging_face.settings_of(config)) == config
  half = dataclasses.replace(config, param_dtype="bfloat16")
  assert hugging_face.settings_of(half)["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize(
  ("settings", "change", "message"),
  [
    (LLAMA_32, {"model_type": "mamba"}, "model_type='mamba' is unknown"),
    (
      LLAMA_32,
      {"architectures": ["LlamaForSequenceClassification"]},
      "is not read; there are LlamaForCausalLM, Qwen2",
    ),
    (LLAMA_32, {"hidden_size": None}, "hidden_size=None is not a size"),
    (LLAMA_32, {"vocab_size": 10**30}, "is not a size"),
    (LLAMA_32, {"hidden_act": "relu"}, "the activation 'relu' is none of"),
    (LLAMA_32, {"attention_bias": True}, "attention_bias=True is not known"),
    (LLAMA_32, {"quantization_config": {"bits": 4}}, "is not known; take it"),
    (LLAMA_32, {"layer_types": ["sliding_attention"]}, "layer_types=.* is not"),
    (
      LLAMA_32,
      {"rope_scaling": {"type": "yarn", "factor": 4}},
      "'yarn' is unk",
    ),
    (LLAMA_32, {"rope_scaling": {"rope_type": "linear"}}, "'missing' is not a"),
    (
      LLAMA_32,
      {"rope_scaling": {"beta_fast": 32}},
      "'beta_fast' of the rotary",
    ),
    (LLAMA_32, {"rope_scaling": "linear"}, "'linear' is not an object"),
    (LLAMA_32, {"rope_theta": -1}, "rope_theta=-1 is not a number above 0"),
    (LLAMA_32, {"rope_local_base_freq": 1.0}, "positions of their own"),
    (LLAMA_32, {"tie_word_embeddings": 1}, "is neither true nor false"),
    (QWEN_25, {"layer_types": ["chunked"] * 24}, "for each of 24 layers"),
    (QWEN_25, {"layer_types": ["full_attention"]}, "for each of 24 layers"),
    (GEMMA_3, {"use_bidirectional_attention": True}, "is not known"),
    (GEMMA_3, {"sliding_window": None}, "sliding_window=None is not a size"),
    (
      GEMMA_3,
      {
        "rope_parameters": {
          "sliding_attention": {"rope_type": "linear", "factor": 2.0}
        }
      },
      "a rope_type for layers with a window",
    ),
    (
      GEMMA_3,
      {"rope_parameters": {"full_attention": {}, "other": {}}},
      "of 'other' are not known",
    ),
  ],
)
def test_what_is_refused(settings, change, message):
  with pytest.raises(ValueError, match=message):
    hugging_face.config_of(settings | change)


JSON = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.floats()
  | st.sampled_from(["linear", "llama3", "full_attention", "silu"]),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(
      st.sampled_from(["rope_type", "factor", "rope_theta", "full_attention"]),
      inner,
      max_size=3,
    )
  ),
  max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(
  st.sampled_from([LLAMA_32, QWEN_25, GEMMA_3]),
  st.data(),
)
def test_any_value_ends_in_a_value_error_or_a_config(given, data):
  keys = sorted(given) + ["rope_parameters", "layer_types", "rope_scaling"]
  changed = given | {data.draw(st.sampled_from(keys)): data.draw(JSON)}
  try:
    hugging_face.config_of(changed)
  except ValueError as error:
    assert "\n" not in str(error)
