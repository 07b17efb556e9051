"""Pictures of a run (matplotlib, the `plots` extra)."""

import pathlib
import warnings

from alphallm import metrics


def learning_curve(workdir) -> pathlib.Path | None:
  """Draw what was measured while training against its seconds.

  Returns:
    The path of the PNG; None, with a warning, where matplotlib is missing or
    nothing was measured.
  """
  try:
    from matplotlib import figure
  except ImportError:
    warnings.warn(
      "no learning curve: pip install 'alphallm[plots]'", stacklevel=2
    )
    return None
  try:
    lines = metrics.read_metrics(workdir)
  except FileNotFoundError:
    lines = []
  lines = [line for line in lines if "train_seconds" in line]
  if not lines:
    warnings.warn("no learning curve: nothing was measured", stacklevel=2)
    return None
  names = dict.fromkeys(  # in order
    name for line in lines for name in line if name.startswith("test/")
  )
  picture = figure.Figure(figsize=(6, 4), layout="constrained", dpi=150)
  axes = picture.subplots()
  for name in names:
    measured = [line for line in lines if name in line]
    seconds = [line["train_seconds"] for line in measured]
    shares = [100 * line[name] for line in measured]
    axes.plot(seconds, shares, marker="o", markersize=3, label=name[5:])
  axes.set(
    xlabel="seconds of training (self-play and learning)",
    ylabel="held-out problems solved, %",
    ylim=(-2, 102),
  )
  axes.grid(alpha=0.3)
  axes.legend()
  path = pathlib.Path(workdir) / "learning_curve.png"
  picture.savefig(path)
  return path
