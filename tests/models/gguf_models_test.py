import checkpoints
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated

from alphallm import models
from alphallm.formats import gguf
from alphallm.models import gguf_models


def write(path, name="llama", **options):
  _, params = checkpoints.make(name)
  return checkpoints.write_gguf(path, name, params, **options)


def config_of(path):
  return gguf_models.config_of(*gguf.read(path))


def test_tidy_numbers(tmp_path):
  """Single precision does not show in what is saved later."""
  assert config_of(write(tmp_path / "x.gguf")).norm_eps == 1e-5


def test_no_scaling(tmp_path):
  keys = {
    "rope.scaling.type": ("add_string", "none"),
    "rope.scaling.factor": ("add_float32", 8.0),
  }
  path = write(tmp_path / "x.gguf", **keys)
  assert config_of(path).rope_scaling is None


def test_the_largest_gemma_scales_scores_by_its_width(tmp_path):
  metadata, tensors = gguf.read(write(tmp_path / "x.gguf", "gemma2"))
  metadata["gemma2.attention.key_length"] = 16
  metadata["gemma2.attention.value_length"] = 16
  assert gguf_models.config_of(metadata, tensors).query_scalar is None
  metadata["gemma2.block_count"] = 46
  assert gguf_models.config_of(metadata, tensors).query_scalar == 32 // 4


def without(name):
  return lambda tensors: {k: v for k, v in tensors.items() if k != name}


def scaled(tensors):
  return tensors | {"rope_freqs.weight": np.float32([1, 2, 3, 4])}


def short(tensors):
  return tensors | {"rope_freqs.weight": np.float32([1, 2])}


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      {"edit": without("token_embd.weight")},
      "'token_embd.weight' is missing",
    ),
    ({"edit": without("blk.1.ffn_up.weight")}, "'blk.1.ffn_up.weight' is miss"),
    ({"edit": scaled}, "are not those of Llama 3"),
    ({"edit": short}, "is misshapen"),
    (
      {"expert_count": ("add_uint32", 8)},
      "llama.expert_count=8 is not known",
    ),
    (
      {"rope.dimension_count": ("add_uint32", 4)},
      "llama.rope.dimension_count=4 is not 8",
    ),
    (
      {
        "rope.scaling.type": ("add_string", "yarn"),
        "rope.scaling.factor": ("add_float32", 8.0),
      },
      "rope_type='yarn' is unknown",
    ),
    (
      {
        "rope.scaling.factor": ("add_float32", 8.0),
        "rope.scaling.attn_factor": ("add_float32", 2.0),
      },
      "attn_factor",
    ),
  ],
)
def test_what_is_refused(tmp_path, options, message):
  path = write(tmp_path / "x.gguf", **options)
  with pytest.raises(ValueError, match=message) as error:
    models.load(path)
  assert str(path) in str(error.value)


def test_an_unknown_architecture():
  for metadata in {}, {"general.architecture": ["llama"]}:
    with pytest.raises(ValueError, match="is unknown; there are llama, qwen2"):
      gguf_models.config_of(metadata, {})


@pytest.fixture(scope="module")
def header(tmp_path_factory):
  path = write(tmp_path_factory.mktemp("gguf") / "whole.gguf", "llama3")
  first = min(x.offset for x in gguf.read(path).tensors.values())
  content = path.read_bytes()
  return content[:first], content[first:]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_change_ends_in_a_value_error_or_a_config(
  tmp_path_factory, header, data
):
  path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
  path.write_bytes(data.draw(mutated(header[0])) + header[1])
  try:
    config_of(path)
  except ValueError as error:
    assert "\n" not in str(error)
