"""A journey of one round by the program; stopped before it was measured."""

import json

import programs
import pytest

CONFIG = f"--config={programs.ROOT / 'configs' / 'journey.py'}:ci"
SMALL = (
  "--config.journey.num_rounds=1",
  "--config.task.max_tokens=96",
  "--config.train.num_eval_problems=4",
  "--config.train.num_steps=4",
  "--config.train.validation_batches=1",
)


@pytest.mark.slow
def test_a_journey_goes_on_and_tells_what_came_of_it(tmp_path):
  command = "journey", CONFIG, *SMALL, f"--workdir={tmp_path}"
  ended = programs.run(*command)
  assert ended.code == 0, ended.err
  summary = json.loads((tmp_path / "summary.json").read_text())
  assert 0 < summary["round_1_trees_solved"] <= 1
  assert 0 <= summary["round_1_thought"] <= 1
  assert 0 <= summary["round_1_imagined_2"] <= 1
  before, after = summary["curves"]
  assert "thought" not in before and len(after["thought"]) > 1
  assert (tmp_path / "journey.png").exists()
  (tmp_path / "round_1" / "measured.json").unlink()
  again = programs.run(*command)
  assert again.code == 0 and "searching" not in again.out
  other = programs.run(*command, "--config.journey.num_problems=80")
  programs.assert_refused(other, "holds a journey of another config")
