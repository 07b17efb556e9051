"""What the configs of this folder have in common: a task, and who plays.

Each is run as `python -m alphallm.train --config configs/learners/NAME.py
--workdir W`, on blocks world, or with `NAME.py:countdown` on countdown; with
`NAME.py:tiny` it is a smoke test of seconds.
"""

from configs import countdown, quickstart

_PROBLEMS = ("blocks_world", "countdown", "tiny")


def get_config(problems: str, kind: str, **options):
  """Return the config of a learner, whose episodes are found by tree search.

  Args:
    problems: `blocks_world`, `countdown` or `tiny`.
    kind: of the learner.
    **options: of the learner.
  """
  if problems not in _PROBLEMS:
    raise ValueError(f"{problems!r} is none of {', '.join(_PROBLEMS)}")
  config = quickstart.get_config()
  config.task.max_blocks = 4
  config.search.max_depth = 8
  if problems == "countdown":
    config = countdown.get_config("tiny")
  del config.learner.learn_from, config.learner.failure_share
  config.learner.augment = False
  config.learner.update(kind=kind, **options)
  config.train.update(num_iterations=100, evaluate_every=10)
  config.train.oversample = 1  # problems drawn for each that is attempted
  if problems == "tiny":
    config.task.max_blocks = 3
    config.model.update(num_layers=1, embed_dim=16, num_heads=2, mlp_dim=32)
    config.model.update(num_kv_heads=1, head_dim=8)
    config.search.update(num_simulations=3, num_candidates=4, max_depth=6)
    config.selfplay.update(num_slots=16, num_moves=2)
    config.learner.update(batch_size=8, warmup_steps=4, decay_steps=40)
    config.learner.update(capacity=512, min_examples=1)
    config.train.update(num_iterations=2, evaluate_every=2, checkpoint_every=2)
    config.train.update(num_eval_problems=16, eval_simulations=3)
  return config


def sampled(problems: str, kind: str, *, group_size: int = 1, **options):
  """Return the config of a learner whose episodes the policy samples.

  No tree is searched, and nobody is asked what is legal; `config.search` is
  what measures. Before it comes a stage that learns the rules.

  Args:
    problems: `blocks_world`, `countdown` or `tiny`.
    kind: of the learner.
    group_size: attempts at each problem.
    **options: of the learner.
  """
  config = get_config(problems, kind, **options)
  # Were illegal steps left out, none would ever be judged, and each legal one
  # that is judged bad would leave its probability to them.
  config.selfplay.update(
    player="policy",  # which samples; an illegal step ends the episode
    num_moves=16,  # of each slot in an iteration
    group_size=group_size,  # slots that attempt the same problems
  )
  config.learner.update(
    batch_size=256,  # states
    learning_rate=1e-4,  # peak; where few attempts solve, more is ruin
    min_examples=1,  # before the first step
    max_age=1,  # iterations that an example is used in: its own
    reuse=4.0,  # epochs
  )
  if problems == "tiny":
    config.selfplay.num_moves = 6
    config.learner.update(batch_size=8, reuse=1.0, capacity=1024)
  # From random weights no step would be legal: learn the rules first, and no
  # strategy, by imitating random legal steps.
  config.before = (
    dict(
      num_iterations=1 if problems == "tiny" else 10,
      learner=dict(
        kind="Cloning",
        learning_rate=1e-3,
        learn_from="all",  # steps that were legal
        max_age=0,  # while the buffer holds it
        reference_every=0,  # there is nothing to refer to
      ),
      selfplay=dict(player="search", greedy_first=False),
      search=dict(
        num_simulations=0,  # one of the candidates is taken
        permission="rules",  # may ask what is legal
        rules_propose=True,  # random legal steps where the policy has none
      ),
    ),
  )
  return config
