"""`jit` without optimization: the tests compile much and compute little."""

import functools
import importlib.metadata

import jax

_OPTIONS = {"xla_backend_optimization_level": 0}
_JAXLIB = importlib.metadata.version("jaxlib").split(".")
if tuple(map(int, _JAXLIB[:2])) < (0, 11):  # later ones do not know it
  _OPTIONS["xla_cpu_use_fusion_emitters"] = False
jit = functools.partial(jax.jit, compiler_options=_OPTIONS)
# The same in XLA_FLAGS, for what the tests do not compile themselves.
FLAGS = " ".join(
  f"--{name}={str(value).lower()}" for name, value in _OPTIONS.items()
)
