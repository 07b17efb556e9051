"""Tests of the page as a file; `browser_test.py` opens it."""

import html
import json
import re

import pytest
import searched

from alphallm import viewer

EVIL = "</script><script>alert(1)</script><!-- \u2028 & ]]> @@STYLE@@ \ud800 é"


def page(text=EVIL):
  side = {
    "name": text,
    "outcome": "solved",
    "played": text,
    "moves": [searched.grown(6, lambda i: text)],
  }
  return viewer.page_data(text, [text], [[side], [side]])


def test_model_text_ends_no_script():
  made = viewer.html(page())
  harmless = viewer.html(page("ab"))
  for word in ("<script", "</script", "<!--", "<style"):
    assert made.count(word) == harmless.count(word), word
  (data,) = re.findall(
    r'<script type="application/json" id="data">(.*?)</script>', made, re.S
  )
  assert data.isascii() and not set("<>&\u2028") & set(data)
  assert json.loads(data) == page()


def test_nothing_comes_from_elsewhere():
  made = viewer.html(page())
  assert "default-src 'none'" in made
  outside = r"https?://(?!www\.w3\.org/2000/svg)|src=|href=|@import|url\("
  assert not re.findall(outside, made)
  for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
    assert way not in made
  assert "eval(" not in made


def test_a_page_is_saved(tmp_path):
  path = viewer.save(tmp_path / "tree.html", page())
  assert path.read_text("utf-8") == viewer.html(page())
  with pytest.raises(ValueError):
    viewer.html({"title": float("nan"), "problems": []})
  with pytest.raises(ValueError):  # as many episodes as problems
    viewer.page_data("", ["a", "b"], [[{}]])


def test_a_notebook_shows_a_result(tmp_path):
  result = searched.result()
  shown = viewer.show(result, searched.TASK, 1, height=500)
  frame = shown._repr_html_()
  (source,) = re.findall(r'srcdoc="([^"]*)"', frame)
  assert html.unescape(source) == viewer.html(shown.data)
  assert 'sandbox="allow-scripts"' in frame and 'height="500"' in frame
  (problem,) = shown.data["problems"]
  (side,) = problem["sides"]
  assert side["moves"] == [viewer.from_result(result, searched.TASK, 1)]
  assert shown.save(tmp_path / "tree.html").exists()
