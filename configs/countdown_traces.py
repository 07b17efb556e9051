"""Thoughts of searchers about countdown, to be imitated: a first policy.

--config configs/countdown_traces.py        4 numbers, targets 10 to 100, short
                                            thoughts: over an hour on one core
--config configs/countdown_traces.py:full   longer ones, for a GPU
--config configs/countdown_traces.py:tiny   3 numbers, minutes on one core
--config configs/countdown_traces.py:ci     3 numbers, seconds
"""

from ml_collections import config_dict


def get_config(size: str = "small"):
  """Return the config; `size` is `small`, `full`, `tiny` or `ci`."""
  if size not in ("full", "small", "tiny", "ci"):
    raise ValueError(
      f"countdown_traces.py:{size}: give small, full, tiny or ci"
    )
  config = config_dict.ConfigDict()
  config.seed = 0
  config.task = dict(
    kind="Thoughts",
    source=dict(
      kind="Countdown",
      num_numbers=4,
      min_target=10,
      max_target=100,
      max_value=999,  # of an intermediate result
    ),
    max_steps=128,  # lines of a thought
    max_step_tokens=32,  # of a line
    max_tokens=1_024,  # of a thought
  )
  config.model = dict(
    num_layers=8,
    embed_dim=256,
    num_heads=4,
    num_kv_heads=4,
    head_dim=64,
    mlp="swiglu",
    mlp_dim=768,
  )
  config.data = dict(
    kind="traces",
    min_width=1,  # ways on from a state that a searcher tries
    max_width=5,
    max_visits=64,  # states that it visits
  )
  config.tuning = dict(
    batch_size=32,  # rows
    accumulate=4,  # parts of a batch, one after the other
    row_tokens=2_048,  # of a row, in which thoughts are packed
    learning_rate=1e-3,  # peak, of AdamW
    warmup_steps=200,
    decay_steps=20_000,  # of the cosine
    weight_decay=0.01,
    average=0.99,  # decay per step of the average of the weights
    streams=1,  # parts of the documents; as many processes read their own
  )
  config.mesh = dict(
    data=0,  # devices that batches are split over; 0: all that are left
    fsdp=1,  # devices that parameters and batches are split over
    tensor=1,  # devices that heads and hidden units are split over
    min_size=2**16,  # elements of the smallest array that is split
  )
  config.train = dict(
    num_steps=20_000,  # of the optimizer
    log_every=50,  # steps
    evaluate_every=1_000,  # steps
    checkpoint_every=1_000,  # steps
    num_eval_problems=256,
    eval_batch_size=256,  # of these problems at a time
    validation_batches=2,
  )
  if size == "full":
    return config
  if size == "small":
    config.task.max_tokens = 512
    config.model.update(num_layers=4, embed_dim=128, head_dim=32, mlp_dim=384)
    config.data.max_visits = 24
    config.tuning.update(batch_size=8, accumulate=1, row_tokens=512)
    config.tuning.update(learning_rate=2e-3, decay_steps=7_000, average=0.999)
    config.train.num_steps = 7_000
    return config
  config.task.source.num_numbers = 3
  config.task.update(max_steps=40, max_step_tokens=24, max_tokens=192)
  config.model.update(num_layers=3, embed_dim=64, head_dim=16, mlp_dim=192)
  config.data.update(max_width=3, max_visits=16)
  config.tuning.update(batch_size=24, accumulate=1, row_tokens=256)
  config.tuning.update(learning_rate=3e-3, warmup_steps=50, decay_steps=800)
  config.train.update(num_steps=800, evaluate_every=200, log_every=10)
  config.train.update(checkpoint_every=100, num_eval_problems=64)
  if size == "ci":
    config.model.update(num_layers=1, embed_dim=32, head_dim=8, mlp_dim=64)
    config.task.max_tokens = 128
    config.tuning.update(batch_size=4, row_tokens=256, decay_steps=40)
    config.tuning.warmup_steps = 4
    config.train.update(num_steps=12, log_every=2, evaluate_every=6)
    config.train.update(checkpoint_every=4, num_eval_problems=8)
  return config
