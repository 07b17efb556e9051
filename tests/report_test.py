"""Tests of reports: what a model has written is no markup in them."""

import html.parser

from alphallm import report

HOSTILE = '</pre><script>alert("x")</script>| a | `b`\n# c & d'
SECTIONS = [
  report.Section(
    title=HOSTILE,
    text=HOSTILE,
    header=("name", HOSTILE),
    rows=[("one", HOSTILE), ("two", "2")],
    written=HOSTILE,
    picture="p.png",
  )
]


class Reader(html.parser.HTMLParser):
  """Notes the tags and the text of a page."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.text = [], ""
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)

  def handle_data(self, data):
    self.text += data


def test_html_shows_text_as_text():
  page = Reader(report.html("a <b>title</b>", SECTIONS))
  assert "script" not in page.tags and "b" not in page.tags
  assert page.text.count(HOSTILE) == 5 and "a <b>title</b>" in page.text
  assert page.tags.count("tr") == 3 and page.tags.count("img") == 1


def test_markdown_keeps_tables_whole():
  lines = report.markdown("title", SECTIONS).splitlines()
  rows = [line for line in lines if line.startswith("| ")]
  assert len(rows) == 4
  for row in rows:
    assert row.replace("\\|", "").count("|") == 3
  assert "    # c & d" in lines  # in a block of code
  assert not any(line.startswith("# c") for line in lines)


def test_both_are_written(tmp_path):
  paths = report.write(tmp_path / "w", "page", "title", SECTIONS)
  assert [path.name for path in paths] == ["page.md", "page.html"]
  assert all(path.stat().st_size for path in paths)
