import struct

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated

from alphallm.formats import blocks
from alphallm.formats import gguf as ours

RNG = np.random.default_rng(0)
TENSORS = {
  "f32": RNG.normal(size=(3, 4)).astype(np.float32),
  "f16": RNG.normal(size=(2, 3, 4)).astype(np.float16),
  "vector": RNG.normal(size=5).astype(np.float32),
}
METADATA = {
  "x.uint": ("add_uint32", 7),
  "x.int": ("add_int32", -7),
  "x.float": ("add_float32", 0.5),
  "x.true": ("add_bool", True),
  "x.text": ("add_string", "ein Wörtchen"),
  "x.texts": ("add_array", ["a", "", "ü"]),
  "x.numbers": ("add_array", [1, 2, 3]),
  "x.scores": ("add_array", [0.5, -1.0]),
}


def write(path, tensors=TENSORS, metadata=METADATA):
  """Write a file by the gguf package; blocks are given as `(bytes, type)`."""
  writer = gguf.GGUFWriter(path, "test")
  for key, (method, value) in metadata.items():
    getattr(writer, method)(key, value)
  for name, tensor in tensors.items():
    if isinstance(tensor, tuple):
      writer.add_tensor(name, tensor[0], raw_dtype=tensor[1])
    else:
      writer.add_tensor(name, tensor)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


def test_metadata_and_plain_tensors(tmp_path):
  found = ours.read(write(tmp_path / "x.gguf"))
  assert found.metadata == {"general.architecture": "test"} | {
    key: value for key, (_, value) in METADATA.items()
  }
  assert found.tensors.keys() == TENSORS.keys()
  for name, tensor in TENSORS.items():
    np.testing.assert_array_equal(found.tensors[name].read(), tensor)
  np.testing.assert_array_equal(
    found.tensors["f16"].read(1), TENSORS["f16"][1:]
  )


@pytest.mark.parametrize("encoding", ["BF16", *blocks.KINDS])
def test_packed_tensors(tmp_path, encoding):
  theirs = gguf.GGMLQuantizationType[encoding]
  _, size = gguf.GGML_QUANT_SIZES[theirs]
  data = RNG.integers(0, 60, (3, 2 * size)).astype(np.uint8)
  path = write(tmp_path / "x.gguf", {"x": (data, theirs)})
  tensor = ours.read(path).tensors["x"]
  expected = gguf.dequantize(data, theirs)
  assert tensor.shape == expected.shape
  np.testing.assert_array_equal(tensor.read().astype(np.float32), expected)
  np.testing.assert_array_equal(
    tensor.read(1, 2).astype(np.float32), expected[1:2]
  )


def number(kind, value):
  return struct.pack(f"<{kind}", value)


def text(value, length=None):
  value = value.encode() if isinstance(value, str) else value
  return number("Q", len(value) if length is None else length) + value


def head(tensors=0, keys=0, version=3):
  return (
    b"GGUF" + number("I", version) + number("Q", tensors) + number("Q", keys)
  )


def key(name, kind, value):
  return text(name) + number("I", kind) + value


def entry(name="t", shape=(1,), kind=0, offset=0, rank=None):
  rank = len(shape) if rank is None else rank
  return (
    text(name)
    + number("I", rank)
    + b"".join(number("Q", n) for n in shape)
    + number("I", kind)
    + number("Q", offset)
  )


def array(kind, count, data=b""):
  return number("I", kind) + number("Q", count) + data


PAD = b"\0" * 96


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "is cut off"),
    (b"GGML" + PAD, "does not start as a GGUF file"),
    (head(version=4) + PAD, "version 4"),
    (head(version=1) + PAD, "version 1"),
    (head(tensors=2**60) + PAD, "is cut off or lies"),
    (head(keys=2**60) + PAD, "is cut off or lies"),
    (head(keys=1) + text("k", 2**62) + PAD, "is too long"),
    (head(keys=1) + text("k", 60_000) + PAD, "is cut off"),
    (head(keys=1) + key(b"\xff", 4, PAD), "not in UTF-8"),
    (head(keys=1) + key("k", 99, PAD), "type 99 is not known"),
    (head(keys=1) + key("k", 7, b"\2") + PAD, "neither 0 nor 1"),
    (head(keys=1) + key("k", 8, text("x", 2**40)) + PAD, "is too long"),
    (head(keys=1) + key("k", 9, array(4, 2**61)) + PAD, "are too many"),
    (head(keys=1) + key("k", 9, array(4, 2**20)) + PAD, "is cut off"),
    (head(keys=1) + key("k", 9, array(8, 2**20)) + PAD, "strings are due"),
    (head(keys=1) + key("k", 9, array(9, 1)) + PAD, "array of arrays"),
    (head(keys=2) + 2 * key("k", 0, b"\1") + PAD, "'k' is there twice"),
    (
      head(keys=1) + key("general.alignment", 4, number("I", 0)) + PAD,
      "alignment 0 is not usable",
    ),
    (
      head(keys=1) + key("general.alignment", 8, text("x")) + PAD,
      "alignment 'x' is not usable",
    ),
    (head(tensors=1) + entry(rank=2**31) + PAD, "dimensions"),
    (head(tensors=1) + entry(rank=0) + PAD, "dimensions"),
    (head(tensors=1) + entry(shape=(0,)) + PAD, r"has shape \[0\]"),
    (head(tensors=1) + entry(shape=(2**50, 2**50)) + PAD, "has shape"),
    (head(tensors=1) + entry(kind=13) + PAD, "type 13 of GGML"),
    (head(tensors=1) + entry(shape=(31, 2), kind=3) + PAD, "of Q4_1"),
    (head(tensors=1) + entry(shape=(32,), kind=3) + PAD, "of Q4_1"),
    (head(tensors=1) + entry(offset=1) + PAD, "lies on another"),
    (head(tensors=1) + entry(offset=2**63) + PAD, "ends at byte"),
    (head(tensors=1) + entry(shape=(999,)) + PAD, "ends at byte"),
    (head(tensors=2) + entry() + entry("u") + PAD, "lies on another"),
    (
      head(tensors=2) + entry() + entry(offset=32) + PAD,
      "'t' is there twice",
    ),
  ],
)
def test_malformed(tmp_path, content, message):
  path = tmp_path / "x.gguf"
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as error:
    ours.read(path)
  assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_every_cut_is_noticed(tmp_path):
  whole = write(tmp_path / "x.gguf", {"x": TENSORS["f32"]}).read_bytes()
  path = tmp_path / "cut.gguf"
  for size in range(len(whole.rstrip(b"\0"))):
    path.write_bytes(whole[:size])
    with pytest.raises(ValueError):
      ours.read(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  packed = (
    np.zeros((2, 20), np.uint8),
    gguf.GGMLQuantizationType.Q4_1,
  )
  path = tmp_path_factory.mktemp("gguf") / "whole.gguf"
  return write(path, TENSORS | {"packed": packed}).read_bytes()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_ends_in_a_value_error_or_a_read(
  tmp_path_factory, whole, data
):
  path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
  path.write_bytes(data.draw(mutated(whole)))
  try:
    for tensor in ours.read(path).tensors.values():
      tensor.read()
  except ValueError as error:
    assert "\n" not in str(error)
