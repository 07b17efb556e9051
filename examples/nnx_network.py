"""Search with a network in Flax NNX: its state is the parameters.

python examples/nnx_network.py
"""

import digits
from flax import nnx

from alphallm import models


class Network(nnx.Module):
  """Logits `[n, C, V]` and value logits `[n, C]` of tokens `[n, C]`."""

  def __init__(self, vocab_size: int, rngs: nnx.Rngs):
    self.embed = nnx.Embed(vocab_size, 32, rngs=rngs)
    self.attention = nnx.MultiHeadAttention(4, 32, decode=False, rngs=rngs)
    self.logits = nnx.Linear(32, vocab_size, rngs=rngs)
    self.value = nnx.Linear(32, 1, rngs=rngs)

  def __call__(self, tokens):
    x = self.embed(tokens)
    x += self.attention(x, mask=nnx.make_causal_mask(tokens))
    return self.logits(x), self.value(x)[..., 0]


if __name__ == "__main__":
  network = Network(digits.TASK.vocab_size, nnx.Rngs(0))
  graph, params = nnx.split(network)
  forward = lambda params, tokens: nnx.merge(graph, params)(tokens)
  digits.show(models.without_cache(forward), params)
