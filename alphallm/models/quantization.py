"""Products in int8, for searching with a model that is not trained any more."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

# The embedding, which may be the output head too, stays as it is.
_QUANTIZED = r"layer_\d+/.*"


def quantize(model: nn.Module, params: chex.ArrayTree) -> tuple[nn.Module, Any]:
  """Return a model whose layers multiply in int8, and its parameters.

  A weight is rounded to int8 with a scale for each output channel, what it is
  multiplied with to int8 with a scale for each token, by their largest
  magnitudes (as LLM.int8() does without its outliers, Dettmers et al., 2022).

  Args:
    model: a `PolicyValueTransformer`.
    params: its parameters, `{"params": ...}`.

  Raises:
    ValueError: if `qwix` is not installed.
  """
  try:
    import qwix
  except ImportError as error:
    raise ValueError(
      "int8 needs the package qwix: pip install 'alphallm[models]'"
    ) from error

  rule = qwix.QuantizationRule(
    module_path=_QUANTIZED, weight_qtype="int8", act_qtype="int8"
  )
  quantized = qwix.quantize_model(model, qwix.PtqProvider([rule]))
  token = jnp.zeros((1, 1, 1), jnp.int32)
  like = jax.eval_shape(quantized.init, jax.random.key(0), token, token)
  return quantized, {
    "params": qwix.quantize_params(
      jax.tree.map(jnp.asarray, params["params"]), like["params"]
    )
  }
