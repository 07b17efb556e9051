"""What steps earn, against NumPy; and what cannot be earned."""

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import some_episodes
import unoptimized

from alphallm import rewards, types, values
from alphallm.learning import payment

V, DEPTH, DISCOUNT = 9, some_episodes.D - 1, 0.9
PARAMS = [
  fake_model.init_params(V, seed=seed, max_positions=16) for seed in range(3)
]
POLICY, *MODELS = PARAMS
NAMES = "one", "two"
ONE, TWO = (dict(workdir="W", name=name) for name in NAMES)
MODEL = dict(kind="model", **ONE)
SETTINGS = {
  "outcome": dict(kind="outcome"),
  "model": MODEL,
  "dense": dict(dense=True, **MODEL),
  "confidence": dict(kind="confidence", top=3),
  "ensemble": dict(kind="ensemble", members=[ONE, TWO], how="min", dense=True),
  "mixture": dict(
    kind="mixture",
    parts=[
      dict(kind="outcome", weight=0.5),
      dict(dense=True, weight=0.25, **MODEL),
    ],
    length_budget=2,
    length_weight=0.5,
  ),
  "by_value": dict(kind="outcome", shaping="value"),
  "by_model": dict(shaping=TWO, **MODEL),
}


def of_models(params):
  """Return the judges of models whose parameters are traced."""

  def judge(own):
    apply_fn = fake_model.apply_fn
    return payment.Judge(
      reward=rewards.model.reward(apply_fn, own, "min"),
      potential=lambda *text: jax.nn.sigmoid(
        rewards.model.state_logits(apply_fn, own, *text)
      ),
    )

  return {
    payment.Model("W", name): judge(own)
    for name, own in zip(NAMES, params, strict=True)
  }


@pytest.fixture(scope="module", params=["reset", "append"])
def paid(request):
  """Pay random episodes in every way."""
  episodes, _ = some_episodes.make(request.param, (12,))
  rng = np.random.default_rng(2)
  is_step = np.arange(some_episodes.D) < episodes.num_steps[:, None]
  legal = is_step & (rng.random(is_step.shape) < 0.8)
  episodes = episodes.replace(legal=legal)

  def pay_all(policy, models, episodes):
    pay = lambda settings: payment.pay(
      payment.make(settings),
      of_models(models),
      fake_model.apply_fn,
      policy,
      episodes,
      discount=DISCOUNT,
    )
    score = rewards.model.confidence(fake_model.apply_fn, policy, top=3)
    confidence = score(rewards.Solution.of((), episodes)).outcome
    return {name: pay(x) for name, x in SETTINGS.items()}, confidence

  traced = jax.tree.map(jnp.asarray, (POLICY, MODELS))
  found, confidence = unoptimized.jit(pay_all)(*traced, episodes)
  return episodes, jax.tree.map(np.asarray, found), np.asarray(confidence)


def state_values(params, episodes, row):
  """Return what a network says of each state of an episode."""
  return np.array(
    [
      fake_model.reference(
        params,
        episodes.contexts[row, t if episodes.contexts.shape[1] > 1 else 0][
          : episodes.ends[row, t]
        ],
      )[1]
      for t in range(episodes.num_steps[row] + 1)
    ]
  )


def expected(episodes, row, confidence):
  n = int(episodes.num_steps[row])
  said = [state_values(params, episodes, row) for params in PARAMS]
  one, two = (x[1:] * episodes.legal[row, :n] for x in said[1:])
  last = np.eye(max(n, 1))[-1][:n]
  outcome = last * float(episodes.solved[row])
  tokens = episodes.step_lengths[row, :DEPTH].sum()
  penalty = 0.5 * max(tokens - 2, 0) / 2
  wholly = last * min(one, default=0)

  def shaped(paid, phi):
    return paid + DISCOUNT * np.append(phi[1:-1], 0)[:n] - phi[:-1]

  return {
    "outcome": outcome,
    "model": wholly,
    "dense": one / DEPTH,
    "confidence": last * confidence,
    "ensemble": np.minimum(one, two) / DEPTH,
    "mixture": 0.5 * outcome + 0.25 * one / DEPTH - last * penalty,
    "by_value": shaped(outcome, said[0]),
    "by_model": shaped(wholly, said[2]),
  }


@pytest.mark.parametrize("name", SETTINGS)
def test_steps_are_paid(paid, name):
  episodes, found, confidence = paid
  for row, n in enumerate(episodes.num_steps):
    wanted = expected(episodes, row, confidence[row])[name]
    np.testing.assert_allclose(found[name][row, :n], wanted, atol=1e-5)
    assert not np.any(found[name][row, n:])


def test_whole_episodes_alone_are_paid():
  episodes, done = some_episodes.make("reset", (3, 4))
  add_one = lambda some: some.rewards + some.num_steps[:, None] + 1.0
  run = unoptimized.jit(lambda *args: payment.of_done(add_one, *args, 5))
  found = run(jax.tree.map(jnp.asarray, episodes), done)
  assert isinstance(found, types.Episode) and 5 < done.sum() < done.size
  more = np.where(done, episodes.num_steps + 1, 0)[..., None]
  np.testing.assert_allclose(found.rewards, episodes.rewards + more)


def test_each_model_is_asked_for_once():
  config = payment.make(SETTINGS["ensemble"] | dict(shaping=TWO))
  assert [model.name for model in config.models] == ["two", "one"]
  assert payment.make(SETTINGS["outcome"]) == payment.PaymentConfig()


@pytest.mark.parametrize(
  ("settings", "words"),
  [
    ({}, "reward.kind=None is none of outcome, model"),
    ({"kind": "oracle"}, "confidence, ensemble, mixture"),
    ({"kind": "outcome", "top": 3}, "reward.top is unknown"),
    ({"kind": "model"}, "reward: "),
    ({"kind": "confidence", "top": 0}, "reward.top=0 must be at least 1"),
    ({"kind": "mixture"}, "reward.parts=None is no list"),
    ({"kind": "mixture", "parts": []}, "parts is empty"),
    ({"kind": "mixture", "parts": [{"kind": "outcome"}]}, "[0].weight=None"),
    (
      {
        "kind": "mixture",
        "parts": [{"kind": "outcome", "weight": 0.6}] * 2,
      },
      "sum to more than 1",
    ),
    (
      {"kind": "mixture", "parts": [{"kind": "mixture", "weight": 1.0}]},
      "reward.parts[0].kind='mixture' is none of",
    ),
    ({"kind": "ensemble", "members": [3]}, "members=[3] is no list of dicts"),
    ({"kind": "ensemble", "members": []}, "members is empty"),
    (
      {"kind": "ensemble", "members": [ONE], "how": "most"},
      "how='most' is none of mean",
    ),
    ({"kind": "outcome", "shaping": "hope"}, "shaping='hope' is no dict"),
    ({"kind": "outcome", "length_budget": -1}, "length_budget=-1 must be"),
  ],
)
def test_what_cannot_be_earned_is_refused(settings, words):
  with pytest.raises(values.UserError) as refused:
    payment.make(settings)
  message = str(refused.value)
  assert message.startswith("config.reward") and words in message
