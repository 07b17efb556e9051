"""A search's tree, to look at: one HTML file, and nothing else needed."""

from alphallm.viewer.page import Page, html, save, show
from alphallm.viewer.recorder import Recorder
from alphallm.viewer.tree_data import from_result, tree_data

__all__ = [
  "Page",
  "Recorder",
  "from_result",
  "html",
  "save",
  "show",
  "tree_data",
]
