"""Search with a bare function: a table of what follows what.

python examples/bare_function.py
"""

import digits
import jax

from alphallm import models


def forward(params, tokens):
  """Return logits `[n, C, V]`; `tokens` is `[n, C]`."""
  return params["table"][tokens]


if __name__ == "__main__":
  size = digits.TASK.vocab_size
  params = {"table": jax.random.normal(jax.random.key(0), (size, size))}
  digits.show(models.without_cache(forward), params)
