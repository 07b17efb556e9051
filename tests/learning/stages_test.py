"""Stages by hand."""

import dataclasses

from alphallm.learning import stages


def test_a_stage_ends_with_its_iterations():
  path = stages.Stages([stages.StageConfig(num_iterations=3)])
  assert [path.record(done, None) for done in (1, 2, 3)] == [0, 0, 1]
  assert (path.present, path.begun) == (1, 3)
  assert not path.record(99, 0.5)  # the last stage ends with the run


def test_a_stage_ends_when_it_stops_improving():
  path = stages.Stages([stages.StageConfig(num_iterations=99, patience=2)] * 2)
  figures = [0.1, 0.4, None, 0.3, None, 0.4]
  ended = [path.record(i, figure) for i, figure in enumerate(figures, 1)]
  assert ended == [False] * 5 + [True]
  # The next counts anew; what is saved goes on.
  path = dataclasses.replace(stages.Stages(path.configs), **path.metadata())
  figures = [0.2, 0.3, 0.3, 0.3]
  ended = [path.record(i, figure) for i, figure in enumerate(figures, 7)]
  assert ended == [False, False, False, True]
