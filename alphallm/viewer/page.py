"""The page: data in, one HTML file out.

The data of a page is a dict that JSON can hold:

  title     of the page
  problems  [P] each with
    name      the problem in words
    sides     one or two episodes of it, side by side, each with
      name      e.g. "trained"
      outcome   "solved", "not solved", "not over", or ""
      played    the text of all steps played, or ""
      moves     [D] the trees, see `trees`

What models and problems say is not to be trusted: it stands in the file as JSON
in which no character ends a script, and the page puts it on the screen as text.
"""

import dataclasses
import html as html_lib
import json
import pathlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from alphallm.search import play
from alphallm.tasks import base
from alphallm.viewer import trees

_SCRIPTS = ("replay.js", "drawing.js", "outline.js", "details.js", "page.js")


def page_data(
  title: str, names: Sequence[str], sides: Sequence[Sequence[Any]]
) -> dict[str, Any]:
  """Return the data of a page.

  Args:
    title: of the page.
    names: of the P problems.
    sides: for each side, its episodes of the P problems.
  """
  problems = [
    {"name": name, "sides": list(episodes)}
    for name, *episodes in zip(names, *sides, strict=True)
  ]
  return {"title": title, "problems": problems}


def html(data: dict[str, Any]) -> str:
  """Return the page of some data as HTML that needs nothing else."""
  read = lambda name: (resources.files(__package__) / name).read_text("utf-8")
  parts = {
    "STYLE": read("page.css"),
    "DATA": _in_script(data),
    "SCRIPT": "\n".join(map(read, _SCRIPTS)),
  }
  # One pass, so that nothing in one part is taken for the place of another.
  return re.sub(r"@@(\w+)@@", lambda m: parts[m[1]], read("page.html"))


def _in_script(data: Any) -> str:
  """Return data as JSON in ASCII that may stand in a script block."""
  text = json.dumps(data, allow_nan=False, separators=(",", ":"))
  for character in "<>&":
    text = text.replace(character, f"\\u{ord(character):04x}")
  return text


def save(path: str | pathlib.Path, data: dict[str, Any]) -> pathlib.Path:
  """Write a page; return where it is."""
  path = pathlib.Path(path)
  path.write_text(html(data), encoding="utf-8")
  return path


@dataclasses.dataclass(frozen=True)
class Page:
  """A page that a notebook shows.

  Attributes:
    data: see the module.
    height: in the notebook, in pixels.
  """

  data: dict[str, Any]
  height: int = 640

  def save(self, path: str | pathlib.Path) -> pathlib.Path:
    """Write the page; return where it is."""
    return save(path, self.data)

  def _repr_html_(self) -> str:
    # Without an origin of its own: it can reach nothing of the notebook.
    return (
      f'<iframe srcdoc="{html_lib.escape(html(self.data))}" '
      f'sandbox="allow-scripts" width="100%" height="{self.height}" '
      'style="border: 0"></iframe>'
    )


def show(
  result: play.SearchResult, task: base.Task, row: int = 0, **options: Any
) -> Page:
  """Show the tree of the first move of one problem, in a notebook.

  Args:
    result: of `search.mcts`.
    task: that was searched in.
    row: which problem.
    **options: of `Page`.
  """
  tree = trees.from_result(result, task, row)
  outcome = "solved" if bool(result.solved[row]) else "not solved"
  side = {
    "name": "",
    "outcome": outcome,
    "played": task.tokenizer.decode(result.solution(row)),
    "moves": [tree],
  }
  name = tree["context"].strip()
  return Page(data=page_data(task.name, [name], [[side]]), **options)
