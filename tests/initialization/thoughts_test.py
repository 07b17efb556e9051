"""Tests of trees written as thoughts."""

import pytest

from alphallm.initialization import thoughts

LEAF = {"step": "7+8=15", "state": "15:24", "value": 0.0}
TREE = {
  "state": "7 8 9:24",
  "analysis": "7+8+9=24",
  "goal": "8*3",
  "children": [
    {
      "step": "9-7=2",
      "state": "2 8:24",
      "children": [{"step": "2+8=10", "state": "10:24", "value": 0.0}],
    },
    {
      "step": "7+8=15",
      "state": "15 9:24",
      "value": 0.75,
      "children": [
        {"step": "15-9=6", "state": "6:24", "value": 0},
        {"step": "15+9=24", "state": "24:24", "value": 1, "solved": True},
        {"step": "9*15=135", "state": "135:24", "value": 0},
      ],
    },
  ],
}
THOUGHT = """\
<analyse>7+8+9=24
<decompose>8*3
<complete>9-7=2>2 8:24
<complete>2+8=10>10:24
<evaluate>0
<correct>7 8 9:24
<alternate>7+8=15>15 9:24
<evaluate>7
<complete>15-9=6>6:24
<evaluate>0
<correct>15 9:24
<alternate>15+9=24>24:24
<evaluate>9
<answer>7+8=15
15+9=24
"""


def test_a_tree_depth_first():
  assert thoughts.from_tree(TREE) == THOUGHT


def test_a_tree_in_the_order_of_its_visits():
  tree = {
    "state": "s",
    "order": 0,
    "children": [
      {
        "step": "a",
        "state": "sa",
        "order": 1,
        "children": [{"step": "c", "state": "sac", "order": 3, "solved": True}],
      },
      {"step": "b", "state": "sb", "order": 2},
    ],
  }
  assert thoughts.from_tree(tree) == (
    "<complete>a>sa\n<correct>s\n<alternate>b>sb\n<correct>sa\n"
    "<complete>c>sac\n<answer>a\nc\n"
  )


def test_without_a_solution_there_is_no_answer():
  tree = {"state": "s", "children": [{"step": "a", "state": "t"}]}
  assert thoughts.from_tree(tree) == "<complete>a>t\n"
  assert thoughts.answer(thoughts.from_tree(tree)) is None
  assert thoughts.from_tree({"state": "s", "solved": True}) == "<answer>"
  assert thoughts.answer("<answer>") == []


def test_spans_are_read_back():
  spans = list(thoughts.spans(THOUGHT))
  assert spans[0] == ("analysis", "7+8+9=24")
  assert spans[-1] == ("evaluation", "9") and len(spans) == 13
  assert thoughts.count(THOUGHT) == {
    "analysis": 1,
    "decomposition": 1,
    "completion": 3,
    "alternative": 2,
    "evaluation": 4,
    "correction": 2,
  }
  assert thoughts.answer(THOUGHT) == ["7+8=15", "15+9=24"]
  # A policy may write anything.
  odd = "noise\n<correct>\n x<evaluate>3\n<evaluate>3"
  assert list(thoughts.spans(odd)) == [("correction", ""), ("evaluation", "3")]
  assert thoughts.count("<answer><correct>1\n")["correction"] == 0


@pytest.mark.parametrize(
  ("tree", "words"),
  [
    ("text", "is no node"),
    ({"step": "a"}, "its state is not a line"),
    ({"state": "a\nb"}, "its state is not a line"),
    ({"state": "a", "children": [{"state": "b"}]}, "its step is not a line"),
    ({"state": "a<answer>"}, "holds a mark"),
    ({"state": "a", "value": 2}, "is not 0 to 1"),
    ({"state": "a", "visits": 3}, "'visits' is no field"),
    ({"state": "a", "children": [LEAF, LEAF]}, "stands in it twice"),
    (
      {"state": "a", "order": 1, "children": [LEAF | {"order": 0}]},
      "not visited first",
    ),
    (
      {
        "state": "a",
        "order": 0,
        "children": [
          LEAF | {"order": 2, "children": [LEAF | {"order": 1}]},
        ],
      },
      "before its parent",
    ),
  ],
)
def test_what_is_no_tree_is_refused(tree, words):
  with pytest.raises(ValueError, match=words):
    thoughts.from_tree(tree)
