"""What the metadata of a GGUF file says of a model, and its names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alphallm.formats import stored
from alphallm.models import hugging_face, rope, transformer

# Names of a block's parameters, ours to theirs.
_BLOCK = {
  "attention_norm/scale": "attn_norm.weight",
  "attention_post_norm/scale": "post_attention_norm.weight",
  "query/kernel": "attn_q.weight",
  "query/bias": "attn_q.bias",
  "key/kernel": "attn_k.weight",
  "key/bias": "attn_k.bias",
  "value/kernel": "attn_v.weight",
  "value/bias": "attn_v.bias",
  "query_norm/scale": "attn_q_norm.weight",
  "key_norm/scale": "attn_k_norm.weight",
  "output/kernel": "attn_output.weight",
  "mlp_norm/scale": "ffn_norm.weight",
  "mlp_post_norm/scale": "post_ffw_norm.weight",
  "gate/kernel": "ffn_gate.weight",
  "up/kernel": "ffn_up.weight",
  "down/kernel": "ffn_down.weight",
}
_TOP = {
  "embed/embedding": "token_embd.weight",
  "final_norm/scale": "output_norm.weight",
  "lm_head/kernel": "output.weight",
}
# What Llama 3 divides its frequencies by lies in a tensor.
FREQUENCIES = "rope_freqs.weight"

# By architecture: the model type in Hugging Face form.
_KINDS = {
  "llama": "llama",
  "qwen2": "qwen2",
  "qwen3": "qwen3",
  "gemma2": "gemma2",
  "gemma3": "gemma3_text",
}
_SAME = {
  "block_count": "num_hidden_layers",
  "context_length": "max_position_embeddings",
  "embedding_length": "hidden_size",
  "feed_forward_length": "intermediate_size",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.key_length": "head_dim",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
  "attention.sliding_window": "sliding_window",
  "attention.sliding_window_pattern": "sliding_window_pattern",
  "attn_logit_softcapping": "attn_logit_softcapping",
  "final_logit_softcapping": "final_logit_softcapping",
  "rope.freq_base": "rope_theta",
  "rope.freq_base_swa": "rope_local_base_freq",
}
_CHECKED = {
  "attention.value_length",
  "rope.dimension_count",
  "rope.scaling.attn_factor",
  "rope.scaling.factor",
  "rope.scaling.finetuned",
  "rope.scaling.original_context_length",
  "rope.scaling.type",
  "tensor_data_layout",
  "vocab_size",
}
# The largest model of these families, by its layers, scales its scores in a
# way of its own.
_LARGEST = {"gemma2": 46, "gemma3": 62}


def name_of(path: str) -> str | None:
  """Return the name of a parameter, `None` if theirs have none.

  Args:
    path: ours, "layer_0/query/kernel".
  """
  room, _, leaf = path.partition("/")
  if room.startswith("layer_"):
    return f"blk.{room.removeprefix('layer_')}.{_BLOCK[leaf]}"
  return _TOP.get(path)


def config_of(
  metadata: Mapping[str, Any], tensors: Mapping[str, stored.Stored]
) -> transformer.TransformerConfig:
  """Return the shape and options of a model.

  Raises:
    ValueError: if it is not of a family that is read, lacks something, or asks
      for something that is not known, in one line.
  """
  architecture = metadata.get("general.architecture")
  if not isinstance(architecture, str) or architecture not in _KINDS:
    raise ValueError(
      f"the architecture {architecture!r} is unknown; there are"
      f" {', '.join(_KINDS)}"
    )
  embedding = tensors.get(_TOP["embed/embedding"])
  if embedding is None:
    raise ValueError("the tensor 'token_embd.weight' is missing")
  given = {
    key.removeprefix(f"{architecture}."): value
    for key, value in metadata.items()
    if key.startswith(f"{architecture}.")
  }
  unknown = given.keys() - _SAME.keys() - _CHECKED
  if unknown:
    key = f"{architecture}.{min(unknown)}"
    raise ValueError(f"{key}={metadata[key]!r} is not known")
  # Numbers that were written in single precision: 1e-05 is meant, not
  # 9.999999747378752e-06.
  tidy = lambda x: float(f"{x:.7g}") if isinstance(x, float) else x
  settings = {
    _SAME[key]: tidy(given[key]) for key in given.keys() & _SAME.keys()
  }
  settings |= {
    "model_type": _KINDS[architecture],
    "vocab_size": embedding.shape[0],
    "tie_word_embeddings": "output.weight" not in tensors,
    "rope_scaling": _scaling(given),
    "hidden_act": "silu",
  }
  if architecture in _LARGEST:
    settings["query_pre_attn_scalar"] = settings.get("head_dim")
  config = hugging_face.config_of(settings)
  if config.num_layers == _LARGEST.get(architecture):
    scalar = config.embed_dim // config.num_heads
    config = dataclasses.replace(config, query_scalar=scalar)
  if FREQUENCIES in tensors:
    scaling = _llama3(tensors[FREQUENCIES], config)
    config = dataclasses.replace(config, rope_scaling=scaling)
  for key in ("attention.value_length", "rope.dimension_count"):
    if given.get(key, config.head_dim) != config.head_dim:
      raise ValueError(
        f"{architecture}.{key}={given[key]!r} is not {config.head_dim}, the"
        " size of a head"
      )
  return config


def _scaling(given):
  """Return the scaling of rotary positions, as in a `config.json`."""
  factor = given.get("rope.scaling.factor")
  kind = given.get("rope.scaling.type", "linear" if factor else "none")
  if kind == "none" or factor == 1:
    return None
  if given.get("rope.scaling.attn_factor", 1) != 1:
    raise ValueError("an attn_factor of rotary positions is not known")
  return {"rope_type": kind, "factor": factor}


def _llama3(tensor, config):
  """Return the scaling whose divisors of the frequencies are stored.

  Every Llama 3 has the same other constants; it is made sure that they give
  what is stored.
  """
  exponents = np.arange(0, config.head_dim, 2) / config.head_dim
  if tensor.shape != exponents.shape:
    raise ValueError(f"the tensor {FREQUENCIES!r} is misshapen")
  divisors = tensor.read().astype(np.float64)
  plain = config.rope_theta**-exponents
  with np.errstate(all="ignore"):  # they may be anything
    scaling = rope.Llama3(factor=float(np.max(divisors)))
    if not np.allclose(plain / scaling(plain), divisors, rtol=1e-4):
      raise ValueError(f"{FREQUENCIES!r} are not those of Llama 3")
  return scaling


def restore(
  architecture: str, config: transformer.TransformerConfig, path: str
) -> Callable[[np.ndarray], np.ndarray] | None:
  """Return what makes ours of the rows of a parameter, `None` if they are.

  Args:
    architecture: as the file names it.
    config: of the model.
    path: of the parameter.

  Returns:
    A function of rows of whole heads: Llama's queries and keys have the two
    halves of a head interleaved. Or one of the scales of Gemma's norms, to
    which 1 was added.
  """
  *_, module, leaf = path.split("/")
  if architecture == "llama" and module in ("query", "key"):
    pairs = (-1, config.head_dim // 2, 2)
    return lambda rows: (
      rows.reshape(*pairs, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
    )
  if config.norm_offset and leaf == "scale":
    return lambda rows: rows - 1
  return None
