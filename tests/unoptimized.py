"""`jit` without optimization: the tests compile much and compute little."""

import functools

import jax


def _known(options):
  """Return the options that this version of XLA knows."""
  known = {}
  for name, value in options.items():
    try:
      jax.jit(lambda x: x, compiler_options={name: value})(0)
      known[name] = value
    except jax.errors.JaxRuntimeError:
      pass
  return known


jit = functools.partial(
  jax.jit,
  compiler_options=_known(
    {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
  ),
)
