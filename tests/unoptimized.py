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


_OPTIONS = _known(
  {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
jit = functools.partial(jax.jit, compiler_options=_OPTIONS)
# The same in XLA_FLAGS, for programs of their own.
FLAGS = " ".join(
  f"--{name}={str(value).lower()}" for name, value in _OPTIONS.items()
)
