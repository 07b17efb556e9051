"""Learn to search in one long thought: trees are written down and imitated.

python -m alphallm.journey --config configs/journey.py --workdir W

In a round the network proposes steps, a tree search tries them on training
problems, each tree is written as a thought with its wrong turns, and the
network imitates these. Then it writes thoughts itself: revision in sequence,
without a tree and without asking anyone. Round r lies in W/round_r, a run of
`alphallm.finetune`; the same command goes on where it was stopped.
"""

import copy
import json
import pathlib
from typing import Any

from alphallm import config as config_lib
from alphallm import finetune, metrics, plots, program, rounds, values

_MEASURED = "measured.json"  # of a round, what came of it


def travel(config: Any, workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Run or resume a journey; return the figures of round 0 and of each after.

  Raises:
    UserError: for a config that does not fit, or another journey's workdir.
    Stopped: after SIGTERM or SIGINT.
  """
  parts = rounds.make(config)
  _claim(workdir, config)
  figures = []
  for number in range(parts.journey.num_rounds + 1):
    folder = workdir / f"round_{number}"
    path = folder / _MEASURED
    if not path.exists():
      learnt = _learn(parts, workdir, number) if number else {}
      print(f"round {number}: measuring", flush=True)
      found = rounds.Round(parts, workdir, number).measure(thoughts=number > 0)
      metrics.write_json(path, found | learnt)
    figures.append(json.loads(path.read_text()))
    print(f"round {number}: {_words(figures[-1])}", flush=True)
  return figures


def _learn(parts, workdir, number) -> dict[str, float]:
  """Take a round, or what is left of it; return its figures."""
  folder = workdir / f"round_{number}"
  told = folder / "trees.json"
  if not told.exists():
    print(f"round {number}: searching", flush=True)
    before = rounds.Round(parts, workdir, number - 1)
    metrics.write_json(told, before.write(folder / rounds.THOUGHTS, number))
  finetune.finetune(parts.round_config(workdir, number), folder)
  return json.loads(told.read_text())


def _claim(workdir: pathlib.Path, config: Any) -> None:
  """Note the config in the workdir; refuse that of another journey."""
  lasting = copy.deepcopy(config)
  with lasting.unlocked():
    lasting.journey.num_rounds = 0  # there may be more
  record = {
    "fingerprint": config_lib.fingerprint(lasting),
    "config": config.to_dict(),
  }
  path = workdir / "journey.json"
  try:
    theirs = json.loads(path.read_text()) if path.exists() else record
    is_another = theirs["fingerprint"] != record["fingerprint"]
  except (ValueError, KeyError, TypeError) as error:
    raise values.UserError(f"{path} is damaged; delete it") from error
  if is_another:
    raise values.UserError(
      f"{workdir} holds a journey of another config (see {path}); give another "
      "--workdir"
    )
  metrics.write_json(path, record)


def _words(figures: dict[str, Any]) -> str:
  shares = {k: v for k, v in figures.items() if isinstance(v, float)}
  return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def draw(figures: list[dict[str, Any]], path: pathlib.Path):
  """Draw thoughts and tree searches against tokens, round by round."""
  lines = {
    f"{name}, round {number}": [tuple(point) for point in points]
    for number, found in enumerate(figures)
    for name, points in found["curves"].items()
    if points
  }
  return plots.against_tokens(lines, path)


def main(argv) -> None:
  del argv
  workdir = pathlib.Path(program.WORKDIR.value)
  config = program.CONFIG.value
  figures = travel(config, workdir)
  flat = {
    f"round_{number}_{name}": value
    for number, found in enumerate(figures)
    for name, value in found.items()
    if name != "curves"
  }
  metrics.write_summary(
    workdir,
    flat | {"curves": [found["curves"] for found in figures]},
    program="journey",
    config=config.to_dict(),
    seeds=[config.seed],
  )
  names = list(dict.fromkeys(k for x in figures for k in x if k != "curves"))
  print("\n| round | " + " | ".join(names) + " |")
  print("|---" * (len(names) + 1) + "|")
  for number, found in enumerate(figures):
    cells = [_cell(found.get(name)) for name in names]
    print(f"| {number} | " + " | ".join(cells) + " |")
  picture = draw(figures, workdir / "journey.png")
  if picture:
    print(f"\nagainst tokens: {picture}")


def _cell(value: Any) -> str:
  if value is None:
    return "–"
  return f"{value:.1%}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
  program.run(main)
