"""AlphaZero-style reasoning with language models, native to JAX and TPUs."""
