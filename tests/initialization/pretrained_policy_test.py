"""Tests of a pretrained model as the first policy."""

import pathlib

import checkpoints
import foreign_tokenizers
import pytest

from alphallm import models
from alphallm.initialization import pretrained_policy
from alphallm.models import pretrained
from alphallm.tokenizer import folders


@pytest.mark.parametrize("form", ["folder", "gguf"])
def test_the_copy_is_the_model(tmp_path, form):
  name = "llama"
  model, params = checkpoints.make(name)
  source = tmp_path / "model"
  if form == "gguf":
    checkpoints.write_gguf(source, name, params)
  else:
    models.save(source, model, params)
  model, params = models.load(source)
  vocabulary = foreign_tokenizers.byte_pairs()
  workdir = tmp_path / "w"
  assert pretrained_policy.find(str(source), workdir) == source
  for _ in range(2):  # what an interrupted run left is written anew
    pretrained_policy.keep(workdir, model, params, vocabulary)
  copy = pretrained_policy.find("gone", workdir)
  assert copy.parent == workdir
  found, read = models.load(copy)
  assert found == model and checkpoints.same(read, params)
  again = pretrained.load_tokenizer(copy)
  assert again.names == vocabulary.names and again.marks == vocabulary.marks


def test_a_model_has_room_for_its_tokenizer(tmp_path):
  source = checkpoints.write_folder(tmp_path / "model")
  vocabulary = folders.load(source)
  shape = pretrained_policy.shape(source, vocabulary, dtype="bfloat16")
  assert shape.dtype == "bfloat16" and shape.param_dtype == "float32"
  model, params = checkpoints.make("llama")  # of 64 tokens
  models.save(tmp_path / "small", model, params)
  with pytest.raises(ValueError, match="tokens for a model of 64"):
    pretrained_policy.shape(tmp_path / "small", vocabulary)


def test_what_is_no_model(tmp_path):
  for path in (None, "", 3, pathlib.Path("x")):
    with pytest.raises(ValueError, match="is no path"):
      pretrained_policy.find(path, tmp_path)
  with pytest.raises(ValueError, match="/nowhere is no folder"):
    pretrained_policy.find("/nowhere", None)
