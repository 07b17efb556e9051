"""AlphaZero's recipe with one slot changed, to see what the slot adds.

--config configs/recipes/one_changed.py:TASK,SIZE,SLOT
"""

from configs.recipes import alphazero, slots

# By slot, what stands there instead.
INSTEAD = dict(
  initialization=slots.SUPERVISED,
  reward=slots.PROCESS_AND_OUTCOME,
  training_search=slots.SAMPLING,
  learning=slots.CLONING,
  test_search=slots.TEST_GREEDY,
)


def get_config(problems: str = "countdown,full,learning"):
  """Return the config; `problems` is TASK,SIZE,SLOT."""
  where, _, slot = problems.rpartition(",")
  if slot not in INSTEAD:
    raise ValueError(f"{slot!r} is none of {', '.join(INSTEAD)}")
  return slots.get_config(where, **alphazero.CHOICE | {slot: INSTEAD[slot]})
