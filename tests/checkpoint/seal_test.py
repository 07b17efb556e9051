import pytest

from alphallm.checkpoint import seal


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / "7"
  (folder / "state").mkdir(parents=True)
  (folder / "state" / "data").write_bytes(b"x" * 10)
  seal.write(folder)
  return folder


def test_a_whole_folder_passes(folder):
  assert seal.broken(folder) is None
  (folder / seal.NAME).unlink()
  assert seal.broken(folder) is None


@pytest.mark.parametrize(
  ("damage", "reason"),
  [
    (lambda data: data.unlink(), "data is missing"),
    (lambda data: data.write_bytes(b"x"), "data has 1 bytes instead of 10"),
    (lambda data: data.write_bytes(b"y" * 10), "data has changed since"),
  ],
)
def test_damage_is_told(folder, damage, reason):
  damage(folder / "state" / "data")
  assert reason in seal.broken(folder)
  assert reason in seal.broken(folder, quick=True)


def test_an_unreadable_seal_is_told(folder):
  (folder / seal.NAME).write_text("{")
  assert "cannot be read" in seal.broken(folder)


def test_broken_folders_are_set_aside_side_by_side(folder):
  for name in "7.damaged", "7.damaged2", "7.damaged3":
    folder.mkdir(exist_ok=True)
    seal.set_aside(folder)
    assert folder.with_name(name).is_dir() and not folder.exists()
