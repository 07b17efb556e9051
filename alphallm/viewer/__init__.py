"""A search's tree, to look at: one HTML file, and nothing else needed."""

from alphallm.viewer.page import Page, html, page_data, save, show
from alphallm.viewer.recorder import Recorder, compare, recorded
from alphallm.viewer.trees import from_result, tree_data

__all__ = [
  "Page",
  "Recorder",
  "compare",
  "from_result",
  "html",
  "page_data",
  "recorded",
  "save",
  "show",
  "tree_data",
]
