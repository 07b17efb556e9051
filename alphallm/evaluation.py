"""The same problems, solved by several methods; what is finished is kept."""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from alphallm import compilation, hosts, measure, methods, search, tables
from alphallm import config as config_lib
from alphallm import ledger as ledger_lib
from alphallm.search import play

_MOST_SAMPLES = 512  # of the best-of-N that spends what another method does


@dataclasses.dataclass(frozen=True)
class Found:
  """What a method has found for n problems, those of an episode among it.

  Attributes:
    solved: `[n]` bool.
    num_steps: `[n]` int32, steps played.
    steps: `[n, D + 1, T]` int32, the steps that were played.
    step_lengths: `[n, D + 1]` int32.
    value: `[n]` float32, what it thinks its answer is worth.
    tokens: `[n]`, tokens that the network processed.
    calls: `[n]`, passes of the network.
    nodes: `[n]`, states that were evaluated.
    right: `[n]`, how many of its paths solve each problem; None where it keeps
      one path.
    ease: `[n]` float32, how easy its paths find each problem; see
      `search.ease`.
  """

  solved: np.ndarray
  num_steps: np.ndarray
  steps: np.ndarray
  step_lengths: np.ndarray
  value: np.ndarray
  tokens: np.ndarray
  calls: np.ndarray
  nodes: np.ndarray
  right: np.ndarray | None = None
  ease: np.ndarray | None = None

  @classmethod
  def of(cls, result: play.SearchResult) -> "Found":
    """Return it of a result of NumPy arrays."""
    episode, paths = result.episode, result.paths
    several = paths is not None and paths.over.shape[1] > 1
    return cls(
      solved=episode.solved,
      num_steps=episode.num_steps,
      steps=episode.steps,
      step_lengths=episode.step_lengths,
      value=result.value,
      tokens=measure.tokens(result),
      calls=result.cost.model_calls,
      nodes=result.cost.nodes,
      right=paths.solved.sum(axis=1) if several else None,
      ease=np.asarray(search.ease(paths)) if several else None,
    )

  def arrays(self) -> dict[str, np.ndarray]:
    return {name: x for name, x in vars(self).items() if x is not None}


class Evaluation:
  """The same problems, solved by several methods, each compiled once."""

  def __init__(
    self,
    run: config_lib.Run,
    problems: Any,
    compared: list[methods.Method],
    *,
    mesh: jax.sharding.Mesh | None = None,
    parts: Any = None,
    matched: bool = False,
  ):
    """Prepare.

    Args:
      run: of the policy.
      problems: `[n, ...]`.
      compared: the methods.
      mesh: over whose devices the problems are split; `None`: one device.
      parts: how parameters stay split over it, see `sharding.shard_self_play`.
      matched: whether best-of-N is one more: whole solutions are sampled until
        one is right or the tokens of the last method (by problem) are spent;
        it may ask the checker.
    """
    self._rng_key = jax.random.key(run.seed)
    self._problems = problems
    self._count = jax.tree.leaves(problems)[0].shape[0]
    self._batch_size = run.train.eval_batch_size
    self._mesh, self._parts = mesh, parts
    self._methods = list(map(self._spread, compared))
    self._sampled = None
    if matched:
      self._sampled = self._spread(methods.played(run, "sampled"))

  def _spread(self, method: methods.Method) -> methods.Method:
    if self._mesh is None:
      return method
    solve = measure.spread(method.solve, self._mesh, parts=self._parts)
    return dataclasses.replace(method, solve=solve)

  def measure(
    self, params: Any, folder: pathlib.Path, key: Any
  ) -> tuple[list[tables.Row], dict[str, Found]]:
    """Solve the problems by every method.

    Args:
      params: of the network, whole on all devices of the mesh, or its `parts`.
      folder: where results are kept; problems that a method has finished there
        are not repeated.
      key: what they depend on beside these parameters and problems, and the
        code: the config, a pytree.

    Returns:
      A row for each method, and what each but the matched best-of-N found.
    """
    ledger = ledger_lib.Ledger(
      folder, ledger_lib.key_of(key, hosts.whole(params), self._problems)
    )
    hosts.agreed(True)  # what it held of another is gone
    if ledger.was_of_another:
      print(
        f"  what was kept in {folder} is of another config, checkpoint, set of "
        "problems or version of the program: all is measured anew",
        flush=True,
      )
    rows, results = [], {}
    for method in self._methods:
      rows.append(self._measure(method, params, ledger, results))
      compilation.let_programs_go()
    if self._sampled:
      rows.append(self._best_of_n(params, rows[-1], ledger))
    return rows, results

  def _measure(self, method, params, ledger, results) -> tables.Row:
    depends = method.name, method.asks, method.guidance, method.made_of
    name = " ".join(filter(None, depends))
    kept = ledger.read(name)
    done = first = len(kept["solved"]) if kept else 0
    seconds = float(kept.pop("seconds")) if kept else 0.0
    # Seconds and problems of the batches that did not compile.
    warm = kept.pop("warm") if kept else np.zeros(2)
    parts = [Found(**kept)] if kept else []
    began = last = time.monotonic()
    for result in self._solve(method, params, self._rng_key, first):
      parts.append(Found.of(result))
      parts = [_joined(parts)]
      now, before = time.monotonic(), done
      done = len(parts[0].solved)
      if before > first:
        warm = warm + [now - last, done - before]
      last, spent = now, np.asarray(seconds + now - began)
      arrays = parts[0].arrays()
      ledger.write(name, {**arrays, "seconds": spent, "warm": warm})
    (found,) = parts
    results[method.name] = found
    row = tables.Row(
      name=method.name,
      asks=method.asks,
      solved=found.solved,
      tokens=found.tokens,
      seconds=seconds + time.monotonic() - began,
      pace=warm[0] / warm[1] if warm[1] else float("nan"),
      steps=_mean(found.num_steps[found.solved]),
      budget=method.budget,
      guidance=method.guidance,
      calls=_mean(found.calls),
      right=found.right,
      value=found.value,
      ease=found.ease,
    )
    _tell(row, kept=first, of=done)
    return row

  def _solve(self, method, params, rng_key, first=0):
    """Yield the results of one batch of problems after the other."""
    # Of many paths fewer problems at a time, for they lie in memory together.
    size = max(1, self._batch_size // max(1, method.budget // 4))
    # Two batches at least: the first compiles, the second tells the pace.
    size = min(size, max(1, -(-self._count // 2)))
    return measure.each(
      method.solve,
      params,
      rng_key,
      self._problems,
      batch_size=size,
      mesh=self._mesh,
      first=first,
    )

  def _best_of_n(self, params, reference, ledger) -> tables.Row:
    """Sample whole solutions until one is right or the tokens are spent."""
    name = f"best_of_n at {reference.name}"
    key = f"{name} {reference.asks}"
    total = self._count
    kept = {
      "solved": np.zeros(total, bool),
      "steps": np.zeros(total),
      "tokens": np.zeros(total, np.int64),
      "samples": 0,
      "seconds": 0.0,
    } | ledger.read(key)
    solved, steps, tokens = kept["solved"], kept["steps"], kept["tokens"]
    first, seconds = int(kept["samples"]), float(kept["seconds"])
    began = time.monotonic()
    for sample in range(first, _MOST_SAMPLES):
      open_ = ~solved & (tokens < reference.tokens)
      if not open_.any():
        break
      rng_key = jax.random.fold_in(self._rng_key, 1 + sample)
      parts = self._solve(self._sampled, params, rng_key)
      found = _joined(map(Found.of, parts))
      tokens += np.where(open_, found.tokens, 0)
      steps = np.where(open_, found.num_steps, steps)
      solved |= open_ & found.solved
      ledger.write(
        key,
        {
          "solved": solved,
          "steps": steps,
          "tokens": tokens,
          "samples": sample + 1,
          "seconds": seconds + time.monotonic() - began,
        },
      )
    row = tables.Row(
      name=name,
      asks="checker",
      solved=solved,
      tokens=tokens,
      seconds=seconds + time.monotonic() - began,
      steps=_mean(steps[solved]),
    )
    _tell(row, kept=total if first else 0, of=total)
    return row


def _joined(parts) -> Found:
  """Return what was found for all problems of some parts."""
  arrays = [part.arrays() for part in parts]
  return Found(**{k: np.concatenate([a[k] for a in arrays]) for k in arrays[0]})


def _tell(row: tables.Row, *, kept: int, of: int) -> None:
  before = f" ({kept} of {of} problems were kept)" if kept else ""
  print(
    f"  {row.name}: {row.share:.1%} in {row.seconds:.1f} s{before}", flush=True
  )


def _mean(x) -> float:
  return float(np.mean(x)) if len(x) else float("nan")
