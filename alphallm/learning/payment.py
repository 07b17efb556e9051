"""What the steps of episodes earn: the reward of a run, `config.reward`.

A dict with a `kind`:

  outcome     what the environment pays
  model       the score of a model of `alphallm.train_reward`
  confidence  how sure the policy that played was of its tokens (Marco-o1)
  ensemble    several models, combined
  mixture     `parts`, each one of the above with its `weight`

and, beside it, `length_budget` and `length_weight` of a penalty, and `shaping`
by a potential: `"value"`, or `dict(workdir=..., name=...)` of a model.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import rewards, types, values
from alphallm.rewards import combined, formulas


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What the environment pays."""


@dataclasses.dataclass(frozen=True)
class Model:
  """The reward model in WORKDIR/rewards/NAME."""

  workdir: str  # of the run of whose policy it was trained
  name: str  # of the model


@dataclasses.dataclass(frozen=True)
class Confidence:
  """The token confidence of the policy that played."""

  top: int = 5  # likeliest tokens that a token is compared with
  dense: bool = False  # 1/D of its score for each step; else the whole's, once


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """The score of a model, or those of several combined."""

  members: tuple[Model, ...]
  how: str = "mean"  # or min, uncertainty; see `rewards.combined.combine`
  spread: float = 1.0  # λ of the variance, for "uncertainty"
  dense: bool = False  # 1/D of its score for each step; else the whole's, once

  def __post_init__(self):
    if self.how not in ("mean", "min", "uncertainty"):
      raise ValueError(f"how={self.how!r} is none of mean, min, uncertainty")
    if not self.members:
      raise ValueError("members is empty")


_PARTS = {
  "outcome": Outcome,
  "model": Ensemble,  # of one
  "confidence": Confidence,
  "ensemble": Ensemble,
}


@dataclasses.dataclass(frozen=True)
class PaymentConfig:
  """The reward that learning sees."""

  parts: tuple[tuple[float, Any], ...] = ((1.0, Outcome()),)  # with weights
  length_budget: int = 0  # tokens that cost nothing; 0: no penalty
  length_weight: float = 1.0  # λ of the penalty
  shaping: Any = None  # by which potential: "value", a `Model`, or none

  def __post_init__(self):
    if not self.parts:
      raise ValueError("parts is empty")
    if sum(weight for weight, _ in self.parts) > 1 + 1e-6:
      raise ValueError(
        "the weights of the parts sum to more than 1, and returns are to stay "
        "in [0, 1]"
      )

  @property
  def models(self) -> tuple[Model, ...]:
    """The models that are asked, each once."""
    asked = [self.shaping] if isinstance(self.shaping, Model) else []
    for _, part in self.parts:
      asked += part.members if isinstance(part, Ensemble) else ()
    return tuple(dict.fromkeys(asked))


def make(settings: Mapping[str, Any]) -> PaymentConfig:
  """Return the config of a dictionary, see above.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """
  settings = dict(settings)
  beside = {
    name: settings.pop(name)
    for name in ("length_budget", "length_weight", "shaping")
    if name in settings
  }
  if beside.get("shaping") not in (None, "value"):
    beside["shaping"] = make_model("reward.shaping", beside["shaping"])
  if settings.get("kind") == "mixture":
    values.check_names("reward.", settings, ("kind", "parts"))
    parts = []
    for index, part in enumerate(_several("reward.parts", settings, "parts")):
      where = f"reward.parts[{index}]"
      part = dict(part)
      weight = part.pop("weight", None)
      values.check_value(f"{where}.weight", weight, float)
      parts.append((weight, _part(where, part)))
  else:
    parts = [(1.0, _part("reward", settings))]
  return values.make(PaymentConfig, "reward", beside, parts=tuple(parts))


def _part(where: str, settings: Mapping[str, Any]) -> Any:
  settings = dict(settings)
  kind = settings.pop("kind", None)
  if kind not in _PARTS:
    raise values.UserError(
      f"config.{where}.kind={kind!r} is none of {', '.join(_PARTS)}"
      + (", mixture" if where == "reward" else "")
    )
  given = {}
  if kind == "model":
    dense = settings.pop("dense", False)
    given["members"] = (make_model(where, settings),)
    settings = {"dense": dense}
  if kind == "ensemble":
    given["members"] = tuple(
      make_model(f"{where}.members[{index}]", member)
      for index, member in enumerate(
        _several(f"{where}.members", settings, "members")
      )
    )
    settings.pop("members")
  return values.make(_PARTS[kind], where, settings, **given)


def make_model(where: str, settings: Any) -> Model:
  """Return where a model lies, by `dict(workdir=..., name=...)`.

  Args:
    where: in the config that stands.
    settings: what stands there.

  Raises:
    UserError: if it is something else.
  """
  if not isinstance(settings, Mapping):
    raise values.UserError(
      f"config.{where}={settings!r} is no dict(workdir=..., name=...)"
    )
  return values.make(Model, where, dict(settings))


def _several(where: str, settings: Mapping[str, Any], name: str):
  given = settings.get(name)
  is_list = isinstance(given, list | tuple)
  if not is_list or not all(isinstance(x, Mapping) for x in given):
    raise values.UserError(f"config.{where}={given!r} is no list of dicts")
  return given


@dataclasses.dataclass(frozen=True)
class Judge:
  """A model that is asked; a function of its parameters, which are traced.

  Attributes:
    reward: scores solutions.
    potential: `(contexts [B, R, C], ends [B, S]) -> [B, S]`, of states.
  """

  reward: rewards.Reward
  potential: Callable[[chex.Array, chex.Array], chex.Array]


def pay(
  config: PaymentConfig,
  models: Mapping[Model, Judge],
  apply_fn: Callable[..., Any],
  policy: Any,
  episodes: types.Episode,
  *,
  discount: float,
) -> chex.Array:
  """Return what each step of B whole episodes earns, `[B, D + 1]`.

  The score of a whole is paid for its last step, dense scores for each, a Dth
  part of them, so that returns lie in [0, 1]; then the penalty for length is
  taken from the last step; then follows the shaping (Ng et al., 1999), by which
  a return loses the potential of the state where it begins.

  Args:
    config: what is paid for.
    models: those of `config.models`.
    apply_fn: the network of the policy.
    policy: parameters of the policy that played.
    episodes: with the rewards of the environment.
    discount: γ.
  """
  solution = rewards.Solution.of((), episodes)

  def scored(part):
    if isinstance(part, Outcome):
      paid = episodes.rewards[:, :-1]
      return lambda _: rewards.Scores(steps=paid, outcome=jnp.sum(paid, -1))
    if isinstance(part, Confidence):
      score = rewards.model.confidence(apply_fn, policy, top=part.top)
    else:
      members = [models[member].reward for member in part.members]
      score = combined.ensemble(members, part.how, weight=part.spread)
    return lambda solution: _paid(score(solution), dense=part.dense)

  weights = [weight for weight, _ in config.parts]
  mixed = combined.mixture(
    combined.MixtureConfig(
      parts=tuple((str(i), weight) for i, weight in enumerate(weights)),
      length_budget=config.length_budget,
      length_weight=config.length_weight,
    ),
    {str(i): scored(part) for i, (_, part) in enumerate(config.parts)},
  )(solution)
  # What the steps have not been paid of the whole, the last one is.
  is_last = jax.nn.one_hot(solution.num_steps - 1, mixed.steps.shape[-1])
  rest = mixed.outcome - jnp.sum(mixed.steps, axis=-1)
  paid = mixed.steps + is_last * rest[:, None]
  if config.shaping is not None:
    if config.shaping == "value":
      potentials = jax.nn.sigmoid(
        rewards.model.state_logits(
          apply_fn, policy, solution.contexts, solution.ends
        )
      )
    else:
      judge = models[config.shaping]
      potentials = judge.potential(solution.contexts, solution.ends)
    paid = formulas.shaped_steps(
      paid, potentials, solution.num_steps, discount=discount
    )
  return jnp.pad(paid, ((0, 0), (0, 1)))


def _paid(scores: rewards.Scores, *, dense: bool) -> rewards.Scores:
  """Return scores of which the steps' are part of the whole's."""
  if not dense:
    return scores.replace(steps=jnp.zeros_like(scores.steps))
  steps = scores.steps / scores.steps.shape[-1]
  return rewards.Scores(steps=steps, outcome=jnp.sum(steps, axis=-1))


def of_done(
  f: Callable[[types.Episode], chex.Array],
  episodes: types.Episode,
  done: chex.Array,
  batch_size: int,
) -> types.Episode:
  """Return episodes `[B, M, ...]`, the whole ones with what a function pays.

  Args:
    f: from `[b, ...]` of them to `[b, D + 1]`.
    episodes: of a round.
    done: `[B, M]` bool, which are whole; the others keep their rewards.
    batch_size: b, of them at a time.
  """
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), episodes)
  order = jnp.argsort(~done.reshape(-1), stable=True)
  count = jnp.sum(done)

  def body(index, paid):
    offsets = index * batch_size + jnp.arange(batch_size)
    places = jnp.take(order, offsets, mode="clip")
    new = f(jax.tree.map(lambda x: x[places], flat))
    places = jnp.where(offsets < count, places, order.shape[0])
    return paid.at[places].set(new, mode="drop")

  num_batches = (count + batch_size - 1) // batch_size
  paid = jax.lax.fori_loop(0, num_batches, body, flat.rewards)
  return episodes.replace(rewards=paid.reshape(episodes.rewards.shape))
