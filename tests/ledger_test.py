"""Tests of what is kept of a measurement."""

import numpy as np

from alphallm import ledger


def test_what_is_written_is_read_under_the_same_key(tmp_path):
  book = ledger.Ledger(tmp_path / "kept", "a")
  assert not book.was_of_another and book.read("mcts_4 checker") == {}
  arrays = {"solved": np.array([True, False]), "seconds": np.asarray(1.5)}
  book.write("0.5*value/x", arrays)
  again = ledger.Ledger(tmp_path / "kept", "a")
  read = again.read("0.5*value/x")
  assert not again.was_of_another and read.keys() == arrays.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(read[name], array)
  other = ledger.Ledger(tmp_path / "kept", "b")
  assert other.was_of_another and other.read("0.5*value/x") == {}
  assert not ledger.Ledger(tmp_path / "kept", "b").was_of_another


def test_a_damaged_file_is_told_of_and_left_out(tmp_path, capsys):
  book = ledger.Ledger(tmp_path, "a")
  book.write("x", {"solved": np.zeros(9)})
  (path,) = tmp_path.glob("*.npz")
  for damaged in (path.read_bytes()[:-9], b""):
    path.write_bytes(damaged)
    assert book.read("x") == {}
    assert "x.npz is damaged" in capsys.readouterr().err


def test_the_key_tells_what_results_depend_on():
  params = {"w": np.arange(3.0), "b": np.zeros(2)}
  key = ledger.key_of("config", params)
  assert key == ledger.key_of("config", {"b": np.zeros(2), "w": np.arange(3.0)})
  assert key != ledger.key_of("other", params)
  assert key != ledger.key_of("config", {**params, "b": np.zeros((2, 1))})
  assert key != ledger.key_of("config", {**params, "b": np.ones(2)})
  assert key != ledger.key_of("config", {"w": np.arange(3.0), "c": np.zeros(2)})
