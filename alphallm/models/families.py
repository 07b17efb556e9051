"""The families of models that are read: what is theirs, and their names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_LLAMA = {
  "attention_norm/scale": "input_layernorm.weight",
  "query/kernel": "self_attn.q_proj.weight",
  "query/bias": "self_attn.q_proj.bias",
  "key/kernel": "self_attn.k_proj.weight",
  "key/bias": "self_attn.k_proj.bias",
  "value/kernel": "self_attn.v_proj.weight",
  "value/bias": "self_attn.v_proj.bias",
  "query_norm/scale": "self_attn.q_norm.weight",
  "key_norm/scale": "self_attn.k_norm.weight",
  "output/kernel": "self_attn.o_proj.weight",
  "mlp_norm/scale": "post_attention_layernorm.weight",
  "gate/kernel": "mlp.gate_proj.weight",
  "up/kernel": "mlp.up_proj.weight",
  "down/kernel": "mlp.down_proj.weight",
}
_GEMMA = _LLAMA | {
  "attention_post_norm/scale": "post_attention_layernorm.weight",
  "mlp_norm/scale": "pre_feedforward_layernorm.weight",
  "mlp_post_norm/scale": "post_feedforward_layernorm.weight",
}
_TOP = {
  "embed/embedding": "model.embed_tokens.weight",
  "final_norm/scale": "model.norm.weight",
  "lm_head/kernel": "lm_head.weight",
}
_GEMMA_OPTIONS = {
  "scale_embeddings": True,
  "norm_offset": True,
  "post_norms": True,
}


class Family(NamedTuple):
  """What the models of a family have in common.

  Attributes:
    architecture: the name of their class.
    names: of a block's parameters, ours to theirs.
    options: fields of `TransformerConfig`.
    theta: of the rotary positions, unless the config says otherwise.
    local_theta: the same in layers with a window, if it differs there.
    pattern: one layer in so many has no window; 0: none has one.
    caps: of attention scores and logits, unless the config says otherwise.
    tied: whether the head is the embedding, unless the config says otherwise.
  """

  architecture: str
  names: Mapping[str, str]
  options: Mapping[str, Any]
  theta: float = 10_000.0
  local_theta: float | None = None
  pattern: int = 0
  caps: tuple[float | None, float | None] = (None, None)
  tied: bool = False

  @property
  def gemma(self) -> bool:
    return self.names is _GEMMA


FAMILIES = {
  "llama": Family("LlamaForCausalLM", _LLAMA, {}),
  "qwen2": Family("Qwen2ForCausalLM", _LLAMA, {"attention_bias": True}),
  "qwen3": Family("Qwen3ForCausalLM", _LLAMA, {"query_key_norm": True}),
  "gemma2": Family(
    "Gemma2ForCausalLM",
    _GEMMA,
    _GEMMA_OPTIONS,
    pattern=2,
    caps=(50.0, 30.0),
    tied=True,
  ),
  "gemma3_text": Family(
    "Gemma3ForCausalLM",
    _GEMMA,
    _GEMMA_OPTIONS | {"query_key_norm": True},
    theta=1_000_000.0,
    local_theta=10_000.0,
    pattern=6,
    tied=True,
  ),
}


def family_of(settings: Mapping[str, Any]) -> Family:
  """Return the family that a `config.json` names.

  Raises:
    ValueError: if it is not one of `FAMILIES`.
  """
  kind = settings.get("model_type")
  family = FAMILIES.get(kind) if isinstance(kind, str) else None
  known = ", ".join(family.architecture for family in FAMILIES.values())
  if family is None:
    raise ValueError(f"model_type={kind!r} is unknown; there are {known}")
  if settings.get("architectures") not in (None, [family.architecture]):
    raise ValueError(
      f"architectures={settings['architectures']!r} is not read; there are"
      f" {known}"
    )
  return family


def name_of(family: Family, path: str) -> str | None:
  """Return the name of a parameter, `None` if theirs have none.

  Args:
    family: of the model.
    path: ours, "layer_0/query/kernel".
  """
  room, _, leaf = path.partition("/")
  if room.startswith("layer_"):
    return f"model.layers.{room.removeprefix('layer_')}.{family.names[leaf]}"
  return _TOP.get(path)
