"""Where the first policy of a recipe comes from: changes of its config.

Each is a function `(config, task, size)`, see `slots.Choice`.
"""

# Tasks in which a state is all that is read.
RESET = ("countdown", "blocks_world", "game24")


def _tuned(config, size, data, **task):
  """Put a supervised phase before the run."""
  steps = {"full": 4_000, "small": 2_000, "ci": 4}[size]
  config.finetune = dict(
    data=data,
    tuning=dict(
      batch_size=4 if size == "ci" else 32,  # rows
      row_tokens=64,  # places of a row, in which documents are packed
      learning_rate=2e-3,  # peak, of AdamW
      warmup_steps=min(steps // 4, 100),
      decay_steps=steps,  # of the cosine
    ),
    train=dict(
      num_steps=steps,  # of the optimizer
      log_every=min(steps, 20),  # steps
      evaluate_every=steps,
      checkpoint_every=min(steps, 200),
      num_eval_problems=8 if size == "ci" else 128,
      eval_batch_size=8 if size == "ci" else 128,
      validation_batches=2,
    ),
    **task,
  )


def rules(config, task, size):
  """Imitate random legal steps first; a pretrained model stays as it is."""
  if task == "programs":
    raise ValueError("no rules propose the lines of programs")
  if task in RESET:  # of arithmetic the pretrained model stays as it is
    _tuned(config, size, dict(kind="rules"))


def supervised(config, task, size):
  """Imitate solutions first."""
  data = dict(kind="solutions", attempts=128)  # random ones, of each problem
  if task not in RESET:
    data = dict(kind="worked")
  _tuned(config, size, data)
  if task not in RESET:
    config.finetune.tuning.row_tokens = 192


def thoughts(config, task, size):
  """Imitate long thoughts of searchers first; one is a step of the run."""
  if task not in ("countdown", "blocks_world"):
    raise ValueError(f"no searcher writes long thoughts of {task}")
  blocks = task == "blocks_world"
  source = config.task.to_dict()
  source.pop("context")
  tokens = 320 if blocks else 192
  lines = dict(
    kind="Thoughts",
    source=source,
    max_steps=60 if blocks else 40,  # lines of a thought
    max_step_tokens=24,  # of a line
    max_tokens=tokens,  # of a thought
  )
  traces = dict(kind="traces", min_width=1, max_width=3, max_visits=16)
  _tuned(config, size, traces, task=lines)
  config.finetune.tuning.row_tokens = tokens + 64
  # A whole thought is one step.
  config.task = dict(
    kind="Thoughts",
    source=source,
    max_steps=1,
    max_step_tokens=tokens,
    max_tokens=tokens,
  )
  config.search.update(num_simulations=1, num_candidates=2, max_depth=1)
  config.selfplay.num_moves = 1
  config.train.eval_simulations = 1
  config.learner.batch_size = 8
  config.learner.min_examples = 1


def prompt(form):
  """Return what asks a model that follows instructions in such a form."""

  def apply(config, task, size):
    del size
    if task != "arithmetic":
      raise ValueError(
        f"a prompt needs a model that follows instructions, and that of {task} "
        "reads symbols alone: take the task arithmetic"
      )
    config.task.update(
      as_chat=True,
      system=form(),
      num_examples=0,
      max_prompt_tokens=640,
      max_step_tokens=48,  # a step is a line
      max_steps=16,
    )
    config.search.max_depth = 16

  return apply
