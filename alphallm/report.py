"""Reports: sections with tables and pictures, as Markdown and as HTML.

What a section holds may be text that a model wrote: nothing of it is markup.
"""

import dataclasses
import html as html_lib
import pathlib
from collections.abc import Sequence

_STYLE = (
  "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
  "table{border-collapse:collapse;font-size:90%}"
  "th,td{border:1px solid #bbb;padding:.2em .5em;text-align:left}"
  "pre{background:#f4f4f4;padding:.6em;overflow-x:auto}img{max-width:100%}"
)
# What would be markup in a cell or a line of Markdown.
_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\|<>*_`[]#&"} | {"\n": " "})


@dataclasses.dataclass(frozen=True)
class Section:
  """A part of a report.

  Attributes:
    title: of it.
    text: a paragraph.
    header: of the table; none without.
    rows: of the table.
    written: shown as it stands, line by line.
    picture: name of a file that lies beside the report; "": none.
  """

  title: str
  text: str = ""
  header: Sequence[str] = ()
  rows: Sequence[Sequence[str]] = ()
  written: str = ""
  picture: str = ""


def markdown(title: str, sections: Sequence[Section]) -> str:
  """Return a report in Markdown."""
  plain = lambda text: text.translate(_MARKUP)
  blocks = [f"# {plain(title)}"]
  for section in sections:
    blocks.append(f"## {plain(section.title)}")
    if section.text:
      blocks.append(plain(section.text))
    if section.header:
      lines = [section.header, ["---"] * len(section.header), *section.rows]
      cells = [[plain(x) if x != "---" else x for x in line] for line in lines]
      blocks.append("\n".join(f"| {' | '.join(line)} |" for line in cells))
    if section.written:
      lines = section.written.splitlines()
      blocks.append("\n".join(f"    {line}" for line in lines))
    if section.picture:
      blocks.append(f"![{plain(section.title)}]({section.picture})")
  return "\n\n".join(blocks) + "\n"


def html(title: str, sections: Sequence[Section]) -> str:
  """Return a report as a page of HTML."""
  plain = html_lib.escape
  row = lambda cells, tag: (
    "<tr>" + "".join(f"<{tag}>{plain(x)}</{tag}>" for x in cells) + "</tr>"
  )
  blocks = [
    '<!doctype html><html lang="en"><meta charset="utf-8">',
    f"<title>{plain(title)}</title><style>{_STYLE}</style>",
    f"<h1>{plain(title)}</h1>",
  ]
  for section in sections:
    blocks.append(f"<h2>{plain(section.title)}</h2>")
    if section.text:
      blocks.append(f"<p>{plain(section.text)}</p>")
    if section.header:
      rows = [row(cells, "td") for cells in section.rows]
      head = row(section.header, "th")
      blocks.append("\n".join(["<table>", head, *rows, "</table>"]))
    if section.written:
      blocks.append(f"<pre>{plain(section.written)}</pre>")
    if section.picture:
      alt, source = plain(section.title), plain(section.picture)
      blocks.append(f'<img alt="{alt}" src="{source}">')
  return "\n".join(blocks) + "\n</html>\n"


def write(
  folder: pathlib.Path, name: str, title: str, sections: Sequence[Section]
) -> tuple[pathlib.Path, pathlib.Path]:
  """Write NAME.md and NAME.html; return their paths."""
  folder.mkdir(parents=True, exist_ok=True)
  paths = folder / f"{name}.md", folder / f"{name}.html"
  for path, render in zip(paths, (markdown, html), strict=True):
    path.write_text(render(title, sections), encoding="utf-8")
  return paths
