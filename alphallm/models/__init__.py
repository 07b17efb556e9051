"""Networks, and what they are to a search."""

from alphallm.models.export import save
from alphallm.models.network import Network, Output, without_cache
from alphallm.models.pretrained import load, load_tokenizer
from alphallm.models.quantization import quantize
from alphallm.models.transformer import (
  PolicyValueTransformer,
  TransformerConfig,
  init_params,
)

__all__ = [
  "Network",
  "Output",
  "PolicyValueTransformer",
  "TransformerConfig",
  "init_params",
  "load",
  "load_tokenizer",
  "quantize",
  "save",
  "without_cache",
]
