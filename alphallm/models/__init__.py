"""Networks, and what they are to a search."""

from alphallm.models.export import save
from alphallm.models.network import Network, Output, without_cache
from alphallm.models.pretrained import load
from alphallm.models.transformer import (
  PolicyValueTransformer,
  TransformerConfig,
  init_params,
)
from alphallm.models.vocabularies import load_tokenizer

__all__ = [
  "Network",
  "Output",
  "PolicyValueTransformer",
  "TransformerConfig",
  "init_params",
  "load",
  "load_tokenizer",
  "save",
  "without_cache",
]
