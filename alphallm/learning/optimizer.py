"""The optimizer: what it is made of, for learners and supervised tuning."""

import dataclasses

import jax
import optax

from alphallm.learning import lora


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """How a step is made of a batch."""

  batch_size: int = 256  # examples, or rows of documents
  accumulate: int = 1  # parts of a batch, one after the other
  scan_layers: bool = False  # layers are passed in one loop
  learning_rate: float = 1e-3  # peak
  warmup_steps: int = 100
  decay_steps: int = 10_000  # cosine, to `final_rate` x learning_rate
  final_rate: float = 0.05
  b2: float = 0.98
  weight_decay: float = 0.01
  clip_norm: float = 1.0
  value_rate: float = 1.0  # of the value head, x learning_rate
  average: float = 0.99  # decay per step of the average of the weights
  optimizer: str = "adamw"  # or "adafactor", whose second moments are factored
  lora_rank: int = 0  # of what is added to kernels; 0: they are trained whole
  moment_dtype: str = ""  # of the first moment; "": that of the parameters

  def __post_init__(self):
    if self.batch_size % self.accumulate:
      raise ValueError(
        f"batch_size={self.batch_size} is no multiple of "
        f"accumulate={self.accumulate}"
      )
    for name, known in (
      ("optimizer", ("adamw", "adafactor")),
      ("moment_dtype", ("", "float32", "bfloat16")),
    ):
      if getattr(self, name) not in known:
        raise ValueError(
          f"{name}={getattr(self, name)!r} is none of "
          + ", ".join(filter(None, known))
        )


def make_tx(config: OptimizerConfig) -> optax.GradientTransformation:
  """Return clipping and an optimizer with a warm-up and a cosine decay.

  Adafactor (Shazeer and Stern, 2018) is as AdamW here, with a second moment of
  matrices that is kept as the product of two vectors.

  The parameters below the name `value_head` have a rate of their own.
  """
  rate = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=max(config.decay_steps, config.warmup_steps + 1),
    end_value=config.final_rate * config.learning_rate,
  )

  def is_value_head(params):
    of_head = lambda keys, _: "value_head" in map(_name, keys)
    return jax.tree_util.tree_map_with_path(of_head, params)

  if config.optimizer == "adafactor":
    # From 128 rows and columns on; the first moment as of Adam.
    scale = optax.chain(
      optax.scale_by_factored_rms(),
      optax.ema(0.9, accumulator_dtype=config.moment_dtype or None),
      optax.add_decayed_weights(config.weight_decay),
      optax.scale_by_learning_rate(rate),
    )
  else:
    scale = optax.adamw(
      rate,
      b2=config.b2,
      weight_decay=config.weight_decay,
      mu_dtype=config.moment_dtype or None,
    )
  if config.lora_rank:
    scale = lora.lora(scale, config.lora_rank)
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    scale,
    optax.masked(optax.scale(config.value_rate), is_value_head),
  )


def _name(key) -> str:
  return jax.tree_util.keystr((key,), simple=True)
