import numpy as np
import pytest

from alphallm.models import rope

FREQUENCIES = 500_000.0 ** -(np.arange(0, 128, 2) / 128)


def test_linear_moves_positions_closer():
  positions = np.array([0, 4, 400])
  scaled = rope.rotation(positions, 16, 1e4, rope.Linear(4.0))
  plain = rope.rotation(positions // 4, 16, 1e4)
  for a, b in zip(scaled, plain, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_llama3_by_its_wavelengths():
  """As the model's authors wrote it, one frequency at a time."""
  expected = []
  for frequency in FREQUENCIES:
    wavelength = 2 * np.pi / frequency
    if wavelength < 8192 / 4:
      expected.append(frequency)
    elif wavelength > 8192 / 1:
      expected.append(frequency / 32)
    else:
      smooth = (8192 / wavelength - 1) / (4 - 1)
      expected.append((1 - smooth) * frequency / 32 + smooth * frequency)
  found = rope.Llama3(32.0)(FREQUENCIES)
  np.testing.assert_allclose(found, expected)
  assert len({True, False} & set(found == FREQUENCIES)) == 2


def test_llama3_needs_two_bounds():
  with pytest.raises(ValueError, match="low=4.0 is not below high=4.0"):
    rope.Llama3(8.0, low=4.0)
