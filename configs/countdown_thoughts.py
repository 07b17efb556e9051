"""Rounds of thoughts about countdown: those that solve are imitated.

--config configs/countdown_thoughts.py --config.model.pretrained=W/model
--config configs/countdown_thoughts.py:ci   3 numbers, seconds

W is the workdir of a run of `configs/countdown_traces.py`, or of its `:ci`. A
whole thought is a step here; an iteration is a round, as in the expert
iteration of Stream of Search (Gandhi et al., 2024, section 5).
"""

from configs import countdown, countdown_traces

_SIZES = {"small": "full", "ci": "tiny"}


def get_config(size: str = "small"):
  """Return the config; `size` is `small` or `ci`."""
  if size not in _SIZES:
    raise ValueError(f"countdown_thoughts.py:{size}: give small or ci")
  config = countdown.get_config(_SIZES[size])
  config.task = countdown_traces.get_config(size).task.to_dict()
  # A whole thought is one step.
  tokens = config.task.max_tokens
  config.task.update(max_steps=1, max_step_tokens=tokens)
  config.model = dict(
    pretrained="runs/countdown_traces/model",
    dtype="float32",  # of the computation
    param_dtype="float32",  # of the parameters
  )
  config.search.update(num_simulations=1, num_candidates=1, max_depth=1)
  config.search.update(rules_propose=False, shrink=0)
  config.selfplay.update(
    player="policy",  # which samples; nobody is asked anything
    num_slots=256,  # thoughts at a time
    num_moves=8,  # of each slot in a round
  )
  config.learner.update(
    kind="Cloning",
    learn_from="solved",  # thoughts
    failure_share=0.0,  # of those that teach a value alone, kept
    batch_size=16,  # thoughts
    learning_rate=3e-4,  # peak
    warmup_steps=10,
    decay_steps=200,  # of the cosine
    capacity=4_096,  # thoughts
    min_examples=1,  # before the first step
    max_age=1,  # rounds that a thought is learned from: its own
    reuse=2.0,  # epochs
    augment=False,
  )
  config.train.update(num_iterations=3, evaluate_every=1, checkpoint_every=1)
  config.train.update(num_eval_problems=256, eval_batch_size=128)
  config.train.eval_simulations = 1
  if size == "ci":
    config.selfplay.update(num_slots=8, num_moves=2)
    config.learner.update(batch_size=4, capacity=64)
    config.train.update(num_eval_problems=8, eval_batch_size=8)
  return config
