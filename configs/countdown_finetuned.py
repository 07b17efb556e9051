"""Countdown by self-play, from a policy that `alphallm.finetune` has made.

--config configs/countdown_finetuned.py --config.model.pretrained=W/model
--config configs/countdown_finetuned.py:ci   3 numbers, seconds

W is the workdir of a run of `configs/countdown_rules.py`.
"""

from configs import countdown


def get_config(size: str = "full"):
  """Return the config; `size` is `full` or `ci`."""
  if size not in ("full", "ci"):
    raise ValueError(f"countdown_finetuned.py:{size}: give full or ci")
  config = countdown.get_config("full" if size == "full" else "tiny")
  config.unlock()
  config.model = dict(
    pretrained="runs/countdown_rules/model",
    dtype="float32",  # of the computation
    param_dtype="float32",  # of the parameters
  )
  if size == "ci":
    config.search.update(num_simulations=2, num_candidates=2)
    config.selfplay.update(num_slots=4, num_moves=2)
    config.learner.update(
      batch_size=4, capacity=64, min_examples=4, max_steps=4
    )
    config.train.update(num_iterations=2, evaluate_every=2)
    config.train.update(num_eval_problems=8, eval_simulations=2)
  return config.lock()
