"""What a `config.json` in Hugging Face form says of a model, and back.

What it says is taken entry by entry. An entry that is left over
could change what the model computes, and is refused.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from alphallm.models import families, rope, transformer

_ACTIVATIONS = {"silu": "swiglu", "gelu_pytorch_tanh": "geglu"}

# These say nothing about the function of the model.
_HARMLESS = frozenset(
  """
  _attn_implementation _name_or_path _sliding_window_pattern architectures
  attention_dropout bos_token_id cache_implementation dtype eos_token_id
  initializer_range is_llama_config model_type pad_token_id pretraining_tp
  tokenizer_class torch_dtype transformers.js_config transformers_version
  unk_token_id unsloth_fixed unsloth_version use_cache
  """.split()
)
_MAX_SIZE = 2**24


class _Settings:
  """The entries of a `config.json` that have not been taken yet."""

  def __init__(self, entries: Mapping[str, Any]):
    self._left = {k: v for k, v in entries.items() if k not in _HARMLESS}

  def take(self, key: str, default: Any = None) -> Any:
    return self._left.pop(key, default)

  def size(self, key: str, default: int | None = None) -> int:
    value = self.take(key)
    value = default if value is None else value
    if type(value) is not int or not 0 < value <= _MAX_SIZE:
      raise ValueError(f"{key}={value!r} is not a size")
    return value

  def real(self, key: str, default: float | None = None) -> float | None:
    return _real(key, self.take(key, default))

  def truth(self, key: str, default: bool) -> bool:
    value = self.take(key, default)
    if not isinstance(value, bool):
      raise ValueError(f"{key}={value!r} is neither true nor false")
    return value

  def refuse_rest(self) -> None:
    for key, value in self._left.items():
      if value not in (None, False, [], {}):
        raise ValueError(
          f"{key}={value!r} is not known; take it out if it does not change"
          " what the model computes"
        )


def _real(key, value):
  if value is None:
    return None
  if type(value) not in (int, float) or not 0 < value < math.inf:
    raise ValueError(f"{key}={value!r} is not a number above 0")
  return float(value)


def config_of(settings: Mapping[str, Any]) -> transformer.TransformerConfig:
  """Return the shape and options of a model from its `config.json`.

  Raises:
    ValueError: if it is not of a family that is read, lacks something, or asks
      for something that is not known, in one line.
  """
  family = families.family_of(settings)
  s = _Settings(settings)
  embed_dim = s.size("hidden_size")
  num_heads = s.size("num_attention_heads")
  num_layers = s.size("num_hidden_layers")
  head_dim = s.size("head_dim", embed_dim // num_heads)
  act = s.take("hidden_act")
  if family.gemma:
    act = s.take("hidden_activation") or "gelu_pytorch_tanh"
  if not isinstance(act, str) or act not in _ACTIVATIONS:
    raise ValueError(
      f"the activation {act!r} is none of {', '.join(_ACTIVATIONS)}"
    )
  options = dict(family.options)
  if family.gemma:
    options.update(
      attention_cap=s.real("attn_logit_softcapping", family.caps[0]),
      logit_cap=s.real("final_logit_softcapping", family.caps[1]),
      query_scalar=s.size("query_pre_attn_scalar", 256),
    )
    if options["query_scalar"] == head_dim:
      options["query_scalar"] = None
  options |= _layers(s, family, num_layers)
  options |= _rotary(s, family, bool(options["local_layers"]))
  context = s.take("max_position_embeddings")
  config = transformer.TransformerConfig(
    vocab_size=s.size("vocab_size"),
    num_layers=num_layers,
    embed_dim=embed_dim,
    num_heads=num_heads,
    num_kv_heads=s.size("num_key_value_heads", num_heads),
    head_dim=head_dim,
    mlp_dim=s.size("intermediate_size"),
    mlp=_ACTIVATIONS[act],
    norm_eps=s.real("rms_norm_eps", 1e-6),
    tie_embeddings=s.truth("tie_word_embeddings", family.tied),
    max_context=context if type(context) is int else None,
    **options,
  )
  s.refuse_rest()
  return config


def _layers(
  s: _Settings, family: families.Family, num_layers: int
) -> dict[str, Any]:
  """Take which layers have a window, and how long it is."""
  if family.architecture == "LlamaForCausalLM":
    return {"local_layers": ()}
  kinds, pattern = s.take("layer_types"), family.pattern
  first = num_layers  # the first layer with a window in Qwen's models
  if family.gemma:
    pattern = s.size("sliding_window_pattern", pattern)
  else:
    most = s.take("max_window_layers")
    if s.truth("use_sliding_window", False):
      first = most if type(most) is int else num_layers
    else:
      s.take("sliding_window")
  if kinds is None and family.gemma:
    local = [i for i in range(num_layers) if (i + 1) % pattern]
  elif kinds is None:
    local = list(range(first, num_layers))
  elif (
    not isinstance(kinds, list)
    or len(kinds) != num_layers
    or not all(k in ("full_attention", "sliding_attention") for k in kinds)
  ):
    raise ValueError(
      f"layer_types={kinds!r} are not full_attention or sliding_attention for"
      f" each of {num_layers} layers"
    )
  else:
    local = [i for i, k in enumerate(kinds) if k == "sliding_attention"]
  if not local:
    if family.gemma:
      s.take("sliding_window")
    return {"local_layers": ()}
  return {"local_layers": tuple(local), "window": s.size("sliding_window")}


def _rotary(
  s: _Settings, family: families.Family, windows: bool
) -> dict[str, Any]:
  """Take the rotary positions, in the older or the newer form."""
  full = {"rope_theta": s.take("rope_theta")}
  full |= _dict("rope_scaling", s.take("rope_scaling"))
  local = {"rope_theta": s.take("rope_local_base_freq")}
  given = _dict("rope_parameters", s.take("rope_parameters"))
  if "full_attention" in given or "sliding_attention" in given:
    unknown = given.keys() - {"full_attention", "sliding_attention"}
    if unknown:
      raise ValueError(f"rope_parameters of {min(unknown)!r} are not known")
    full |= _dict("full_attention", given.get("full_attention"))
    local |= _dict("sliding_attention", given.get("sliding_attention"))
  else:
    full |= given
  theta, scaling = _frequencies(full, family.theta)
  options = {"rope_theta": theta, "rope_scaling": scaling}
  if family.local_theta is None and local != {"rope_theta": None}:
    raise ValueError("rotary positions of their own for layers with a window")
  if family.local_theta is not None:
    local_theta, local_scaling = _frequencies(local, family.local_theta)
    if local_scaling is not None:
      raise ValueError("a rope_type for layers with a window is not known")
    if windows:
      options["local_rope_theta"] = local_theta
  return options


def _dict(key, value):
  if not isinstance(value, dict | None):
    raise ValueError(f"{key}={value!r} is not an object")
  return value or {}


def _frequencies(given, theta):
  """Return the theta and the scaling of one kind of layers."""
  given = {
    key: value for key, value in dict(given).items() if value is not None
  }
  kind = given.pop("type", "default")
  kind = given.pop("rope_type", kind)
  theta = _real("rope_theta", given.pop("rope_theta", theta))
  real = lambda key: _real(key, given.pop(key, "missing"))
  if kind == "default":
    scaling = None
  elif kind == "linear":
    scaling = rope.Linear(real("factor"))
  elif kind == "llama3":
    scaling = rope.Llama3(
      factor=real("factor"),
      low=real("low_freq_factor"),
      high=real("high_freq_factor"),
      original_context=int(real("original_max_position_embeddings")),
    )
  else:
    raise ValueError(
      f"rope_type={kind!r} is unknown; there are default, linear, llama3"
    )
  if given:
    raise ValueError(f"{min(given)!r} of the rotary positions is not known")
  return theta, scaling


def settings_of(config: transformer.TransformerConfig) -> dict[str, Any]:
  """Return the `config.json` of a model.

  Raises:
    ValueError: if no family computes what the config says.
  """
  plain = dataclasses.replace(config, dtype="float32", param_dtype="float32")
  for kind, family in families.FAMILIES.items():
    settings = _settings(config, kind, family)
    try:
      if config_of(settings) == plain:
        return settings
    except ValueError:
      continue
  raise ValueError(
    f"no family of models computes what this config says: {config}; there are "
    + ", ".join(family.architecture for family in families.FAMILIES.values())
  )


def _settings(config, kind, family):
  c = config
  acts = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
  kinds = ["full_attention"] * c.num_layers
  for layer in c.local_layers:
    kinds[layer] = "sliding_attention"
  settings = {
    "architectures": [family.architecture],
    "model_type": kind,
    "vocab_size": c.vocab_size,
    "hidden_size": c.embed_dim,
    "intermediate_size": c.mlp_dim,
    "num_hidden_layers": c.num_layers,
    "num_attention_heads": c.num_heads,
    "num_key_value_heads": c.num_kv_heads,
    "head_dim": c.head_dim,
    "hidden_activation" if family.gemma else "hidden_act": acts.get(c.mlp),
    "rms_norm_eps": c.norm_eps,
    "rope_theta": c.rope_theta,
    "rope_scaling": _scaling_settings(c.rope_scaling),
    "tie_word_embeddings": c.tie_embeddings,
    "torch_dtype": c.param_dtype,
  }
  if c.max_context is not None:
    settings["max_position_embeddings"] = c.max_context
  if family.gemma:
    settings |= {
      "attn_logit_softcapping": c.attention_cap,
      "final_logit_softcapping": c.logit_cap,
      "query_pre_attn_scalar": c.query_scalar or c.head_dim,
    }
  if family.local_theta is not None and c.local_rope_theta is not None:
    settings["rope_local_base_freq"] = c.local_rope_theta
  if family.architecture != "LlamaForCausalLM":
    settings |= {"layer_types": kinds, "sliding_window": c.window}
    if not family.gemma:
      settings["use_sliding_window"] = bool(c.local_layers)
  return settings


def _scaling_settings(scaling):
  match scaling:
    case rope.Linear(factor=factor):
      return {"rope_type": "linear", "factor": factor}
    case rope.Llama3():
      return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low,
        "high_freq_factor": scaling.high,
        "original_max_position_embeddings": scaling.original_context,
      }
  return None
