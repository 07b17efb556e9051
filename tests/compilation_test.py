"""Tests of what becomes of compiled programs."""

import jax
import jax.numpy as jnp
import pytest

from alphallm import compilation


@pytest.mark.parametrize("many", [False, True])
def test_programs_go_where_there_are_many(tmp_path, monkeypatch, many):
  maps = tmp_path / "maps"
  maps.write_text("a piece of a program\n" * (30_001 if many else 10))
  monkeypatch.setattr(compilation, "_MAPS", maps)
  traced = []

  @jax.jit
  def program(x):
    traced.append(x)
    return x + 1

  program(jnp.zeros(()))
  compilation.let_programs_go()
  assert program(jnp.zeros(())) == 1
  assert len(traced) == 1 + many


def test_without_maps_nothing_goes(tmp_path, monkeypatch):
  monkeypatch.setattr(compilation, "_MAPS", tmp_path / "none")
  compilation.let_programs_go()
