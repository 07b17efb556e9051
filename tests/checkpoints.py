"""Small models of each family, and folders and GGUF files of them."""

import dataclasses

import foreign_tokenizers
import gguf
import jax
import numpy as np
import random_transformer

from alphallm import models
from alphallm.models import rope, transformer
from alphallm.tokenizer import folders

_SMALL = {
  "vocab_size": 64,
  "num_layers": 2,
  "embed_dim": 32,
  "num_heads": 4,
  "num_kv_heads": 2,
  "head_dim": 8,
  "mlp_dim": 64,
  "max_context": 99,
}
_GEMMA = {
  "mlp": "geglu",
  "local_layers": (0,),
  "window": 8,
  "scale_embeddings": True,
  "norm_offset": True,
  "post_norms": True,
}
CONFIGS = {
  name: transformer.TransformerConfig(**_SMALL | options)
  for name, options in {
    "llama": {"tie_embeddings": False, "norm_eps": 1e-5},
    "llama3": {"rope_scaling": rope.Llama3(32.0), "rope_theta": 5e5},
    "qwen2": {"attention_bias": True},
    "qwen3": {"query_key_norm": True, "rope_scaling": rope.Linear(4.0)},
    "gemma2": _GEMMA | {"attention_cap": 50.0, "logit_cap": 30.0},
    "gemma3": _GEMMA
    | {
      "query_key_norm": True,
      "rope_theta": 1e6,
      "local_rope_theta": 1e4,
      "query_scalar": 24,
    },
  }.items()
}


def make(name, dtype="float32"):
  """Return a model of a family and random parameters."""
  config = CONFIGS[name]
  _, params = random_transformer.make(config, scale=0.3)
  params = jax.tree.map(lambda x: x.astype(dtype), params)
  return transformer.PolicyValueTransformer(config), params


def same(a, b):
  """Return whether two trees are equal to the bit."""
  equal = lambda x, y: x.dtype == y.dtype and x.tobytes() == y.tobytes()
  x, y = (jax.tree.map(np.asarray, tree) for tree in (a, b))
  return jax.tree.all(jax.tree.map(equal, x, y))


# As written by hand, so that it is no copy of the table that is tested.
_NAMES = {
  "attention_norm": "attn_norm",
  "attention_post_norm": "post_attention_norm",
  "query": "attn_q",
  "key": "attn_k",
  "value": "attn_v",
  "query_norm": "attn_q_norm",
  "key_norm": "attn_k_norm",
  "output": "attn_output",
  "mlp_norm": "ffn_norm",
  "mlp_post_norm": "post_ffw_norm",
  "gate": "ffn_gate",
  "up": "ffn_up",
  "down": "ffn_down",
}


def write_gguf(path, name, params, *, edit=lambda tensors: tensors, **keys):
  """Write a model as GGUF by the gguf package, in float32."""
  c = CONFIGS[name]
  kind = "llama" if name == "llama3" else name
  writer = gguf.GGUFWriter(path, kind)
  writer.add_block_count(c.num_layers)
  writer.add_context_length(c.max_context)
  writer.add_embedding_length(c.embed_dim)
  writer.add_feed_forward_length(c.mlp_dim)
  writer.add_head_count(c.num_heads)
  writer.add_head_count_kv(c.num_kv_heads)
  writer.add_key_length(c.head_dim)
  writer.add_value_length(c.head_dim)
  writer.add_layer_norm_rms_eps(c.norm_eps)
  writer.add_rope_freq_base(c.rope_theta)
  if isinstance(c.rope_scaling, rope.Linear):
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(c.rope_scaling.factor)
  if c.window:
    writer.add_sliding_window(c.window)
  if c.attention_cap:
    writer.add_attn_logit_softcapping(c.attention_cap)
    writer.add_final_logit_softcapping(c.logit_cap)
  for key, (method, value) in keys.items():
    getattr(writer, method)(f"{kind}.{key}", value)
  tensors = edit(_tensors(c, kind, params["params"]))
  for tensor_name, tensor in tensors.items():
    writer.add_tensor(tensor_name, np.ascontiguousarray(tensor))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


def _tensors(c, kind, params):
  offset = 1 if kind.startswith("gemma") else 0
  tensors = {
    "token_embd.weight": params["embed"]["embedding"],
    "output_norm.weight": params["final_norm"]["scale"] + offset,
  }
  if "lm_head" in params:
    tensors["output.weight"] = params["lm_head"]["kernel"].T
  if isinstance(c.rope_scaling, rope.Llama3):
    speed = c.rope_theta ** -(np.arange(0, c.head_dim, 2) / c.head_dim)
    tensors["rope_freqs.weight"] = (speed / c.rope_scaling(speed)).astype("f4")
  for i in range(c.num_layers):
    for module, leaves in params[f"layer_{i}"].items():
      name = f"blk.{i}.{_NAMES[module]}"
      for leaf, x in leaves.items():
        x = x.T if leaf == "kernel" else x
        if leaf == "scale":
          x = x + offset
        if kind == "llama" and module in ("query", "key"):
          x = x.reshape(-1, 2, c.head_dim // 2, c.embed_dim)
          x = x.swapaxes(1, 2).reshape(-1, c.embed_dim)
        tensors[f"{name}.{'bias' if leaf == 'bias' else 'weight'}"] = x
  return tensors


def write_folder(path):
  """Write a random model and its tokenizer in Hugging Face form."""
  vocabulary = foreign_tokenizers.byte_pairs()
  config = dataclasses.replace(
    CONFIGS["qwen2"], vocab_size=vocabulary.vocab_size + 3
  )
  _, params = random_transformer.make(config, scale=0.1)
  models.save(path, transformer.PolicyValueTransformer(config), params)
  folders.save(vocabulary, path)
  return path
