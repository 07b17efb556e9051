"""Tests of an evaluation that is stopped and goes on."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_config

from alphallm import config, evaluation, methods, types
from alphallm.search import play

N, SIZE = 10, 4


class Solver:
  """Solves problems at random, and counts them."""

  def __init__(self, stops_after=99):
    self.keys, self.left = [], stops_after

  def __call__(self, params, rng_keys, problems):
    if not self.left:
      raise KeyboardInterrupt
    self.left -= 1
    self.keys.append(np.asarray(jax.random.key_data(rng_keys)))
    draw = jax.vmap(lambda key: jax.random.uniform(key) < params["ease"])
    solved = np.asarray(draw(rng_keys))
    count = np.asarray(problems["x"]) + 1
    steps = np.zeros((SIZE, 2, 3), np.int32)
    dummy = np.zeros(SIZE)
    names = [field.name for field in dataclasses.fields(types.Episode)]
    episode = types.Episode(**dict.fromkeys(names, dummy)).replace(
      solved=solved,
      num_steps=count,
      steps=steps,
      step_lengths=steps[..., 0],
    )
    cost = types.Cost(
      decoded=count, prefilled=count, model_calls=count, nodes=count
    )
    return play.SearchResult(
      tokens=dummy,
      solved=solved,
      reward=dummy,
      value=np.full(SIZE, 0.5),
      cost=cost,
      episode=episode,
    )


def evaluate(folder, solvers, *, ease=0.5, key="config", matched=None):
  run = config.make_run(tiny_config.get_config())
  run = dataclasses.replace(
    run, train=dataclasses.replace(run.train, eval_batch_size=SIZE)
  )
  compared = [
    methods.Method(name=name, solve=solve, asks="rules")
    for name, solve in solvers.items()
  ]
  problems = {"x": np.arange(N)}
  measured = evaluation.Evaluation(run, problems, compared)
  if matched:
    measured._sampled = methods.Method("sampled", matched, "nothing")
  return measured.measure({"ease": np.float32(ease)}, folder, key)


def facts(rows):
  return [
    (row.name, row.solved.tolist(), row.tokens.tolist(), row.steps)
    for row in rows
  ]


def test_finished_problems_are_not_repeated(tmp_path, capsys):
  whole = Solver()
  expected, found = evaluate(tmp_path / "whole", {"a": whole, "b": whole})
  assert len(whole.keys) == 6 and found["b"].steps.shape == (N, 2, 3)
  assert all(0 < row.pace < 1 for row in expected)
  first, second = Solver(), Solver(stops_after=1)
  solvers = {"a": first, "b": second}
  with pytest.raises(KeyboardInterrupt):
    evaluate(tmp_path / "kept", solvers)
  second.left = 99
  rows, found = evaluate(tmp_path / "kept", solvers)
  assert len(first.keys) == 3 and len(second.keys) == 3
  np.testing.assert_array_equal(first.keys, second.keys)
  assert facts(rows) == facts(expected)
  out = capsys.readouterr().out
  assert "(10 of 10 problems were kept)" in out
  assert "(4 of 10 problems were kept)" in out


@pytest.mark.parametrize("change", [{"ease": 0.9}, {"key": "another config"}])
def test_what_is_of_others_is_dropped(tmp_path, capsys, change):
  solver = Solver()
  evaluate(tmp_path, {"a": solver})
  assert "measured anew" not in capsys.readouterr().out
  evaluate(tmp_path, {"a": solver}, **change)
  assert len(solver.keys) == 6
  assert "is of another config, checkpoint" in capsys.readouterr().out


def test_best_of_n_goes_on_with_its_next_sample(tmp_path):
  reference = Solver()
  whole = Solver()
  solvers = {"a": reference}
  expected, _ = evaluate(tmp_path / "whole", solvers, ease=0.2, matched=whole)
  # A sample costs each problem what the reference did: one is all.
  assert len(whole.keys) == 3
  stops = Solver(stops_after=2)
  with pytest.raises(KeyboardInterrupt):
    evaluate(tmp_path / "kept", solvers, ease=0.2, matched=stops)
  stops.left = 99
  rows, _ = evaluate(tmp_path / "kept", solvers, ease=0.2, matched=stops)
  again, _ = evaluate(tmp_path / "kept", solvers, ease=0.2, matched=stops)
  assert len(stops.keys) == 2 + 3
  assert facts(rows) == facts(again) == facts(expected)
