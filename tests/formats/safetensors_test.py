import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated

from alphallm.formats import safetensors as ours

TENSORS = {
  "a": np.arange(12, dtype=np.float32).reshape(4, 3),
  "b": np.arange(5, dtype=np.float16),
  "empty": np.zeros((0, 3), np.float32),
  "number": np.array(7, np.float32),
}
BRAIN = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)


def test_reads_what_others_write(tmp_path):
  path = tmp_path / "x.safetensors"
  safetensors.numpy.save_file(TENSORS, path, metadata={"format": "pt"})
  found = ours.read(path)
  assert found.keys() == TENSORS.keys()
  for name, tensor in TENSORS.items():
    assert found[name].shape == tensor.shape
    data = found[name].read()
    assert data.dtype == tensor.dtype
    np.testing.assert_array_equal(data.reshape(tensor.shape), tensor)
  np.testing.assert_array_equal(found["a"].read(1, 3), TENSORS["a"][1:3])


def test_others_read_what_is_written(tmp_path):
  path, tensors = tmp_path / "x.safetensors", TENSORS | {"brain": BRAIN}
  ours.write(path, tensors, tensors.get)
  found = safetensors.numpy.load_file(path)
  for name, tensor in tensors.items():
    assert found[name].dtype == tensor.dtype
    np.testing.assert_array_equal(found[name], tensor)
  np.testing.assert_array_equal(ours.read(path)["brain"].read(), BRAIN)


def test_only_floats_are_written(tmp_path):
  with pytest.raises(ValueError, match="'x' has type int32, none of"):
    ours.write(tmp_path / "x", {"x": np.zeros(1, np.int32)}, None)


def raw(header, data=b"", length=None):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  length = len(text) if length is None else length
  return length.to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
  return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


ZEROS = b"\0" * 4


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "is cut off: 0 bytes"),
    (b"\1\0\0", "is cut off: 3 bytes"),
    (raw({}, length=2**63), "too few for its header"),
    (raw(b"{" * 9), "malformed"),
    (raw(b"[" * 100_000), "nested too deep"),
    (raw(b"\xff"), "not in UTF-8"),
    (raw([]), "not an object"),
    (raw(b'{"a": 1, "a": 2}'), "twice"),
    (raw({"a": 1}), "nothing usable of 'a'"),
    (raw({"a": entry("I64", offsets=(0, 8))}, ZEROS * 2), "type 'I64'"),
    (raw({"a": entry([])}, ZEROS), r"type \[\]"),
    (raw({"a": entry(shape=(-1,))}, ZEROS), "no proper shape"),
    (raw({"a": entry(shape=(True,))}, ZEROS), "no proper shape"),
    (raw({"a": entry(shape=(0, 2**70), offsets=(0, 0))}), "is too large"),
    (raw({"a": entry(offsets=(0, 4, 4))}, ZEROS), "no proper shape"),
    (raw({"a": entry(shape=(2,))}, ZEROS), "does not fit its offsets"),
    (raw({"a": entry()}, ZEROS[:3]), "does not fit its offsets"),
    (raw({"a": entry(shape=(2**40,), offsets=(0, 2**42))}), "does not fit"),
    (raw({"a": entry(offsets=(4, 8))}, ZEROS * 2), "where 0 was due"),
    (raw({"a": entry(), "b": entry()}, ZEROS), "where 4 was due"),
    (raw({"a": entry()}, ZEROS * 2), "4 bytes belong to no tensor"),
  ],
)
def test_malformed(tmp_path, content, message):
  path = tmp_path / "x.safetensors"
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as error:
    ours.read(path)
  assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_shrinks(tmp_path):
  path = tmp_path / "x.safetensors"
  ours.write(path, TENSORS, TENSORS.get)
  tensors = ours.read(path)
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(ValueError, match="became shorter"):
    tensors["a"].read()


WHOLE = raw(
  {"__metadata__": {}, "a": entry(), "b": entry("F16", (2, 2), (4, 12))},
  ZEROS * 3,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_ends_in_a_value_error_or_a_read(tmp_path_factory, data):
  path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
  path.write_bytes(data.draw(mutated(WHOLE)))
  try:
    for tensor in ours.read(path).values():
      tensor.read()
  except ValueError as error:
    assert "\n" not in str(error)
