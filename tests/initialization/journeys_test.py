"""Trees as thoughts; here a state is a letter, and a step a number."""

import numpy as np

from alphallm.initialization import journeys

# a - 1 - b (over), a - 2 - c, a - 3 - d (not kept), c - 4 - e, c - 5 - f solved
STATES, STEPS = "abcdef", "012345"
PARENTS, ORDER = [0, 0, 0, 0, 2, 2], [0, 2, 4, 6, 8, 9]


def nodes(solved="f", missing="d"):
  column = lambda text: np.frombuffer(text.encode(), np.uint8)[:, None]
  is_in = lambda letters: np.array([x in letters for x in STATES])
  return journeys.Nodes(
    parent=np.array(PARENTS),
    order=np.array(ORDER),
    steps=column(STEPS),
    step_lengths=np.ones(6, int),
    states=column(STATES),
    state_lengths=np.ones(6, int),
    kept=~is_in(missing),
    over=is_in("b" + solved),
    solved=is_in(solved),
  )


def decode(ids):
  return bytes(ids).decode() + "\n"


def written(some, **options):
  return list(journeys.records(some, decode, **options))


def test_wrong_turns_are_told_up_to_the_solution():
  (record,) = written(nodes())
  assert record == {
    "prompt": "a\n",
    "response": (
      "<complete>1>b\n<evaluate>0\n<correct>a\n<alternate>2>c\n"
      "<complete>4>e\n<correct>c\n<alternate>5>f\n<evaluate>9\n"
      "<answer>2\n5\n"
    ),
  }


def test_a_thought_begins_at_each_state_on_the_way():
  first, second = written(nodes(), every_state=True)
  assert first == written(nodes())[0] and second["prompt"] == "c\n"
  assert second["response"] == (
    "<complete>4>e\n<correct>c\n<alternate>5>f\n<evaluate>9\n<answer>5\n"
  )


def test_without_a_solution_nothing_is_told():
  assert not written(nodes(solved=""), every_state=True)
  # Nor is what lies behind a node that may not be learnt from.
  assert not written(nodes(missing="c"), every_state=True)
  assert not written(nodes(missing="a"))
