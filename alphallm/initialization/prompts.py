"""Initialization by a prompt: behaviours asked for in words.

For models that follow instructions. A prompt is what the `system` of a task in
chat form says; nothing is trained. Two forms: `steps`, a chain of titled steps,
each of which ends with a decision to go on or to answer, and `monologue`, a
thinking aloud before the answer. Where `marked`, each span begins with its
mark, so that `thoughts.count` reads answers as it reads traces.
"""

from collections.abc import Sequence

from alphallm.tasks import answers, long_thoughts

# Of each behaviour: what to do.
INSTRUCTIONS = {
  "analysis": (
    "Before you do anything, say in your own words what is given, what is "
    "wanted, and what makes it hard."
  ),
  "decomposition": (
    "Split the task into smaller ones, and say which of them comes next."
  ),
  "completion": (
    "Carry out one small step at a time, and write its result down."
  ),
  "alternative": (
    "Where there is more than one way, name another one before you settle."
  ),
  "evaluation": (
    "After each step judge it: how sure are you, from 0 to 9, that it leads to "
    "the answer?"
  ),
  "correction": (
    "If a step turns out wrong, say so, go back to where it was still right, "
    "and go on from there."
  ),
}
ALL = tuple(INSTRUCTIONS)
_END = (
  f'When you are sure, write "{answers.MARK}" and the answer alone behind it, '
  "on a line of its own."
)


def steps(behaviours: Sequence[str] = ALL, *, marked: bool = False) -> str:
  """Return a prompt for a chain of titled steps.

  Args:
    behaviours: which are asked for, in this order.
    marked: whether each span is to begin with its mark.
  """
  return "\n".join(
    [
      "You solve problems in a chain of numbered steps. Give each step a short "
      "title, then its content, then one word: CONTINUE or ANSWER.",
      *_list(behaviours, marked),
      "Take at least three steps, and check the result in another way before "
      "you choose ANSWER.",
      _END,
    ]
  )


def monologue(behaviours: Sequence[str] = ALL, *, marked: bool = False) -> str:
  """Return a prompt for thinking aloud; see `steps`."""
  return "\n".join(
    [
      "Think aloud before you answer, as you would on scratch paper: freely, "
      "in plain words, following doubts as they come.",
      *_list(behaviours, marked),
      "Nobody grades the thinking; only the answer counts.",
      _END,
    ]
  )


def _list(behaviours: Sequence[str], marked: bool) -> list[str]:
  """Return a line of instruction for each behaviour.

  Raises:
    ValueError: for one that is none of the six.
  """
  unknown = set(behaviours) - set(INSTRUCTIONS)
  if unknown:
    raise ValueError(
      f"{sorted(unknown)[0]!r} is none of {', '.join(INSTRUCTIONS)}"
    )
  lines = [f"- {INSTRUCTIONS[name]}" for name in behaviours]
  if marked:
    marks = [
      f"{long_thoughts.MARKS[name]} for the {name}" for name in behaviours
    ]
    lines.append(
      "Begin each such part on a new line with its mark, exactly as it stands "
      f"here: {', '.join(marks)}."
    )
  return lines
