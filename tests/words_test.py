"""Tests of a search in words, by random weights."""

import jax
import numpy as np
import pytest
import tiny_config
from ml_collections import config_dict

from alphallm import config, words
from alphallm.models import transformer

TASKS = {
  "blocks_world": dict(kind="BlocksWorld", min_blocks=3, max_blocks=3),
  "countdown": dict(
    kind="Countdown", num_numbers=3, max_target=50, max_value=99
  ),
}


@pytest.mark.slow  # that of evaluate tells one in the default suite
@pytest.mark.parametrize(
  "task, context", [("blocks_world", "append"), ("countdown", "reset")]
)
def test_example(task, context):
  settings = tiny_config.get_config().to_dict()
  settings["task"] = TASKS[task] | {"context": context}
  settings["learner"].update(capacity=1000, augment=False)
  run = config.make_run(config_dict.ConfigDict(settings))
  params = transformer.init_params(run.model.config, jax.random.key(0))
  problems = run.task.sample_numpy(np.random.default_rng(0), 2, "test")
  # The rules propose, so that there is something to tell.
  text = words.example(run, run.search, params, problems)
  lines = text.splitlines()
  assert lines[0].startswith("One problem: ")
  assert lines[1].startswith("Move 1: the policy reads ")
  assert lines[-1].startswith("Played: ") and lines[-1].endswith(".")
  told = [line for line in lines if line.startswith("  ")]
  assert any("prior " in line for line in told)
  assert any("Chosen: " in line or "A solution" in line for line in told)
