"""Search with a network in Flax Linen: one layer of causal attention.

python examples/linen_network.py
"""

import digits
import jax
from flax import linen as nn

from alphallm import models


class Network(nn.Module):
  """Logits `[n, C, V]` and value logits `[n, C]` of tokens `[n, C]`."""

  vocab_size: int

  @nn.compact
  def __call__(self, tokens):
    x = nn.Embed(self.vocab_size, 32)(tokens)
    x += nn.SelfAttention(num_heads=4)(x, mask=nn.make_causal_mask(tokens))
    return nn.Dense(self.vocab_size)(x), nn.Dense(1)(x)[..., 0]


if __name__ == "__main__":
  network = Network(digits.TASK.vocab_size)
  params = network.init(jax.random.key(0), jax.numpy.zeros((1, 4), int))
  digits.show(models.without_cache(network.apply), params)
