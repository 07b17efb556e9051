"""The notebooks run from top to bottom."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
  monkeypatch.delenv("XLA_FLAGS", raising=False)  # they compute much
  nbformat, nbclient = map(pytest.importorskip, ("nbformat", "nbclient"))
  for name in ("alphallm", "configs"):
    (tmp_path / name).symlink_to(ROOT / name)
  folder = tmp_path / "notebooks"
  folder.mkdir()
  notebook = nbformat.read(path, as_version=4)
  for cell in notebook.cells:  # as its reader does, but for less long
    cell.source = cell.source.replace(
      "figures = train.train",
      "config.train.update(num_iterations=4, evaluate_every=2)\n"
      "figures = train.train",
    )
  nbclient.NotebookClient(
    notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}
  ).execute()
  assert any(cell.get("outputs") for cell in notebook.cells)
  assert not any(cell.get("outputs") for cell in nbformat.read(path, 4).cells)
