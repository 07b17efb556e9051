import gguf
import numpy as np
import pytest

from alphallm.formats import blocks


@pytest.mark.parametrize("encoding", blocks.KINDS)
def test_against_the_gguf_package(encoding):
  """Any bytes are blocks; scales that are infinite or no number among them."""
  kind = blocks.KINDS[encoding]
  theirs = gguf.GGMLQuantizationType[encoding]
  assert gguf.GGML_QUANT_SIZES[theirs] == (kind.numbers, kind.bytes)
  data = np.random.default_rng(0).integers(0, 256, (40, 2 * kind.bytes))
  data = data.astype(np.uint8)
  with np.errstate(all="ignore"):
    expected = gguf.dequantize(data, theirs)
  found = blocks.decode(encoding, data.reshape(-1))
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, expected.reshape(-1))
