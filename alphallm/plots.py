"""Pictures of runs (matplotlib, the `plots` extra)."""

import pathlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from alphallm import measure, metrics, scaling_laws

Curve = Sequence[Mapping[str, float]]  # lines of metrics, measured ones


def _figure(**options):
  """Return an empty figure; None, with a warning, without matplotlib."""
  try:
    from matplotlib import figure
  except ImportError:
    warnings.warn("no picture: pip install 'alphallm[plots]'", stacklevel=3)
    return None
  return figure.Figure(layout="constrained", dpi=150, **options)


def _label(axes):
  axes.set(
    xlabel="seconds of training (self-play and learning)", ylim=(-2, 102)
  )
  axes.grid(alpha=0.3)


def learning_curve(workdir) -> pathlib.Path | None:
  """Draw what was measured while training against its seconds.

  Returns:
    The path of the PNG; None, with a warning, where matplotlib is missing or
    nothing was measured.
  """
  picture = _figure(figsize=(6, 4))
  if picture is None:
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
  axes = picture.subplots()
  for name in names:
    measured = [line for line in lines if name in line]
    seconds = [line["train_seconds"] for line in measured]
    shares = [100 * line[name] for line in measured]
    axes.plot(seconds, shares, marker="o", markersize=3, label=name[5:])
  _label(axes)
  axes.set_ylabel("held-out problems solved, %")
  axes.legend()
  path = pathlib.Path(workdir) / "learning_curve.png"
  picture.savefig(path)
  return path


def against_tokens(
  methods: Mapping[str, Sequence[tuple[float, float]]], path
) -> pathlib.Path | None:
  """Draw what methods solve against the tokens that they spend.

  Args:
    methods: by name, the mean tokens a problem and the share solved of each
      budget.
    path: of the PNG.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(7, 4.5))
  if picture is None:
    return None
  from matplotlib import ticker

  axes = picture.subplots()
  for i, (name, points) in enumerate(methods.items()):
    tokens, shares = zip(*sorted(points), strict=True)
    axes.plot(
      tokens,
      [100 * share for share in shares],
      marker="osD^v"[i // 10 % 5],
      markersize=4,
      label=name,
    )
  axes.set(
    xscale="log",
    xlabel="tokens processed a problem",
    ylabel="held-out problems solved, %",
    ylim=(-2, 102),
  )
  # Numbers as one says them, also within a decade.
  axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
  axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
  axes.xaxis.set_minor_formatter(ticker.NullFormatter())
  axes.grid(alpha=0.3)
  axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
  picture.savefig(path)
  return pathlib.Path(path)


def successes(
  bars: Mapping[str, Mapping[str, tuple[int, int]]], path
) -> pathlib.Path | None:
  """Draw shares of problems solved, with their intervals of 95%.

  Args:
    bars: by name, then by side (the same ones for all names), how many of how
      many problems are solved.
    path: of the PNG.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(7, 1 + 0.4 * len(bars)))
  if picture is None:
    return None
  axes = picture.subplots()
  sides = list(next(iter(bars.values())))
  height = 0.8 / len(sides)
  for number, side in enumerate(sides):
    places = [row + (number + 0.5) * height - 0.4 for row in range(len(bars))]
    counts = [bar[side] for bar in bars.values()]
    shares = [100 * solved / total for solved, total in counts]
    ends = [measure.interval(solved, total) for solved, total in counts]
    errors = [
      [max(0, x - 100 * low) for x, (low, _) in zip(shares, ends, strict=True)],
      [max(0, 100 * up - x) for x, (_, up) in zip(shares, ends, strict=True)],
    ]
    axes.barh(places, shares, height, xerr=errors, label=side, capsize=2)
  axes.set_yticks(range(len(bars)), list(bars))
  axes.invert_yaxis()
  axes.set(xlabel="held-out problems solved, %", xlim=(0, 102))
  axes.grid(alpha=0.3, axis="x")
  axes.legend(fontsize="small")
  picture.savefig(path)
  return pathlib.Path(path)


def compare(
  panels: Mapping[str, Mapping[str, Sequence[Curve]]],
  path,
  name: str = "test/greedy",
) -> pathlib.Path | None:
  """Draw the curves of several ways to learn, side by side.

  Args:
    panels: by title, then by the way to learn: a curve for each seed, the lines
      of `metrics.jsonl` that were measured.
    path: of the PNG.
    name: of what is drawn, a share of problems solved.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(4 * len(panels), 3.6))
  if picture is None:
    return None
  rooms = picture.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  for axes, (title, ways) in zip(rooms, panels.items(), strict=True):
    for color, (way, curves) in enumerate(ways.items()):
      for i, curve in enumerate(curves):
        axes.plot(
          [line["train_seconds"] for line in curve],
          [100 * line[name] for line in curve],
          color=f"C{color % 10}",
          linestyle="-" if color < 10 else "--",
          alpha=0.8,
          label=way if i == 0 else None,
        )
    _label(axes)
    axes.set_title(title)
  method = name.removeprefix("test/")
  rooms[0].set_ylabel(f"held-out problems solved, {method}, %")
  rooms[0].legend()
  picture.savefig(path)
  return pathlib.Path(path)


def learners(
  curves: Mapping[str, Sequence[Curve]], methods: Sequence[str], path
) -> pathlib.Path | None:
  """Draw what learners solve against the time and against the tokens spent.

  The medians over seeds, and thinly each seed.

  Args:
    curves: by learner: of each seed points of `train_seconds`, `tokens` and the
      shares solved by each method.
    methods: a row of the picture for each.
    path: of the PNG.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(10, 3.2 * len(methods)))
  if picture is None:
    return None
  axes_of = {
    "train_seconds": ("seconds of training (self-play and learning)", 1.0),
    "tokens": ("tokens passed in self-play, million", 1e-6),
  }
  rooms = picture.subplots(
    len(methods), len(axes_of), sharex="col", sharey="row", squeeze=False
  )
  for row, method in zip(rooms, methods, strict=True):
    row[0].set_ylabel(f"held-out solved, {method}, %")
    for axes, (axis, (words, scale)) in zip(row, axes_of.items(), strict=True):
      axes.grid(alpha=0.3)
      if method == methods[-1]:
        axes.set_xlabel(words)
      for number, (name, seeds) in enumerate(curves.items()):
        look = dict(
          color=f"C{number % 10}", linestyle="-" if number < 10 else "--"
        )
        lines = [
          np.array([[x[axis] * scale, 100 * x[method]] for x in seed]).T
          for seed in seeds
        ]
        for line in lines if lines[1:] else ():
          axes.plot(*line, alpha=0.2, linewidth=0.8, **look)
        shortest = min(line.shape[1] for line in lines)
        median = np.median([line[:, :shortest] for line in lines], axis=0)
        axes.plot(*median, label=name, **look)
  handles, names = rooms[0, 0].get_legend_handles_labels()
  picture.legend(handles, names, loc="outside right upper", fontsize="small")
  picture.savefig(path)
  return pathlib.Path(path)


def over_optimisation(
  panels: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]], path
) -> pathlib.Path | None:
  """Draw true and proxy rewards against √KL, side by side.

  Args:
    panels: by title, then by the proxy: points of `kl`, `true` and `proxy`.
    path: of the PNG.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(4 * len(panels), 3.6))
  if picture is None:
    return None
  rooms = picture.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  for axes, (title, proxies) in zip(rooms, panels.items(), strict=True):
    for i, (name, points) in enumerate(proxies.items()):
      distance = [point["kl"] ** 0.5 for point in points]
      for kind, style in ("true", "o-"), ("proxy", "--"):
        axes.plot(
          distance,
          [point[kind] for point in points],
          style,
          color=f"C{i}",
          markersize=3,
          label=name if kind == "true" else None,
        )
    axes.set(title=title, xlabel="√KL from the policy, √nats")
    axes.grid(alpha=0.3)
  rooms[0].set_ylabel("reward: true (solid), proxy (dashed)")
  rooms[-1].legend(loc="upper left")
  # A proxy of heavy tails leaves the picture, and the truth fills it.
  true, proxy = (
    np.array(
      [
        point[kind]
        for proxies in panels.values()
        for points in proxies.values()
        for point in points
      ]
    )
    for kind in ("true", "proxy")
  )
  shown = np.concatenate([true, proxy.clip(-0.5, 2 * true.max())])
  rooms[0].set_ylim(shown.min() - 0.05, shown.max() + 0.05)
  picture.savefig(path)
  return pathlib.Path(path)


def law(fitted: scaling_laws.Law, words: str, path) -> pathlib.Path | None:
  """Draw the failures of each series and the fitted power law.

  Args:
    fitted: the law.
    words: what grows along a series.
    path: of the PNG.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(6, 4.5))
  if picture is None:
    return None
  axes = picture.subplots()
  for number, series in enumerate(fitted.series):
    compute = np.array(
      [scaling_laws.compute_of(fitted.axis, c) for c in series]
    )
    failed = np.array([1 - cell.solved / cell.problems for cell in series])
    color = f"C{number % 10}"
    axes.plot(compute, failed, "o", color=color, markersize=3)
    curve = fitted.failure(number, compute)
    axes.plot(compute, curve, "-", color=color, alpha=0.5, linewidth=1)
  low, high = fitted.interval
  axes.set(
    xscale="log",
    yscale="log",
    xlabel=f"FLOPs of the {scaling_laws.AXES[fitted.axis]}, by {words}",
    ylabel="share of held-out problems failed",
    title=f"exponent {fitted.exponent:.3f} ({low:.3f} to {high:.3f})",
  )
  axes.grid(alpha=0.3, which="both")
  picture.savefig(path)
  return pathlib.Path(path)


def frontier(
  points: Sequence[tuple[float, float]],
  best: Sequence[tuple[float, float]],
  path,
) -> pathlib.Path | None:
  """Draw success against total compute, and the best of it.

  Args:
    points: compute and share solved, of each cell.
    best: the same, of those that no cheaper cell is as good as.
    path: of the PNG.

  Returns:
    The path; None, with a warning, where matplotlib is missing.
  """
  picture = _figure(figsize=(6, 4.5))
  if picture is None:
    return None
  axes = picture.subplots()
  axes.plot(*zip(*points, strict=True), "o", markersize=3, alpha=0.4)
  axes.step(*zip(*best, strict=True), where="post", color="C1")
  axes.set(
    xscale="log",
    xlabel="FLOPs of training and test together",
    ylabel="share of held-out problems solved",
    ylim=(-0.02, 1.02),
  )
  axes.grid(alpha=0.3)
  picture.savefig(path)
  return pathlib.Path(path)
