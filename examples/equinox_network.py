"""Search with a network in Equinox: its arrays are the parameters.

pip install equinox
python examples/equinox_network.py
"""

import digits
import equinox as eqx
import jax

from alphallm import models


class Network(eqx.Module):
  """Logits `[C, V]` and value logits `[C]` of the tokens `[C]` of one text."""

  embed: eqx.nn.Embedding
  cell: eqx.nn.GRUCell
  logits: eqx.nn.Linear
  value: eqx.nn.Linear

  def __init__(self, vocab_size: int, key: jax.Array):
    keys = jax.random.split(key, 4)
    self.embed = eqx.nn.Embedding(vocab_size, 32, key=keys[0])
    self.cell = eqx.nn.GRUCell(32, 32, key=keys[1])
    self.logits = eqx.nn.Linear(32, vocab_size, key=keys[2])
    self.value = eqx.nn.Linear(32, "scalar", key=keys[3])

  def __call__(self, tokens):
    def read(hidden, token):
      hidden = self.cell(self.embed(token), hidden)
      return hidden, (self.logits(hidden), self.value(hidden))

    return jax.lax.scan(read, jax.numpy.zeros(32), tokens)[1]


if __name__ == "__main__":
  network = Network(digits.TASK.vocab_size, jax.random.key(0))
  params, static = eqx.partition(network, eqx.is_array)
  forward = lambda params, tokens: jax.vmap(eqx.combine(params, static))(tokens)
  digits.show(models.without_cache(forward), params)
