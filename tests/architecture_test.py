"""The floors and walls of the house, kept by reading its imports."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# A module imports only from lower floors, or from its own room.
FLOORS = {
  "sandbox": -1,  # below all else: it knows nothing of the project
  "types": 0,
  "values": 0,
  "parts": 0,
  "tokenizer": 0,
  "formats": 0,
  "models": 1,
  "tasks": 1,
  "hosts": 2,
  "profiling": 1,
  "sharding": 1,
  "checkpoint": 1,
  "metrics": 1,
  "ledger": 1,
  "compilation": 1,
  "compiled": 1,
  "rewards": 2,
  "search": 3,
  "initialization": 3,
  "learning": 4,
  "selfplay": 5,
  "measure": 5,
  "viewer": 5,
  "consistency": 5,
  "config": 6,
  "problems": 7,
  "program": 7,
  "runs": 7,
  "solving": 7,
  "plots": 7,
  "report": 7,
  "scaling_laws": 6,
  "tables": 6,
  "verdict": 7,
  "compute_optimal": 7,
  "comparison": 8,
  "methods": 7,
  "lessons": 13,
  "trainer": 14,
  "measurement": 12,
  "words": 7,
  "reward_data": 7,
  "reward_trees": 7,
  "reward_lessons": 8,
  "reward_models": 9,
  "judges": 10,
  "phases": 12,
  "players": 11,
  "actors": 12,
  "asking": 7,
  "evaluation": 9,
  "evaluate": 13,
  "train": 15,
  "train_reward": 11,
  "tuning": 7,
  "finetune": 9,
  "rounds": 10,
  "journey": 11,
  "behaviours": 11,
  "vocabulary": 9,
  "solve": 13,
  "shapes": 7,
  "forecast": 15,
  "timing": 15,
  "preflight": 16,
  "roadmap_page": 13,
  "roadmap": 16,
  "scaling": 16,
}

# What only some rooms may import.
WALLS = {
  "flax.linen": {"models", "rewards"},
  "mctx": {"search"},
  "orbax": {"checkpoint"},
  "ml_collections": {"configs", "program"},
}


def module_name(path, root=ROOT):
  parts = path.relative_to(root).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source, modules):
  """Return the names that a source imports, the longest that are modules."""
  names = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, "imports are absolute"
      for alias in node.names:
        name = f"{node.module}.{alias.name}"
        ours = node.module.split(".")[0] == "alphallm"
        names.add(node.module if ours and name not in modules else name)
  return names


def read(folder):
  paths = sorted((ROOT / folder).rglob("*.py"))
  return {module_name(path): path.read_text() for path in paths}


SOURCES = read("alphallm")
IMPORTS = {name: imported(source, SOURCES) for name, source in SOURCES.items()}


def room(module):
  """Return the room of a module, "" for the package itself."""
  return (module.split(".") + [""])[1]


def breaches(imports):
  """Return a line for each import from a floor that is not lower."""
  return [
    f"{module} (floor {FLOORS[room(module)]}) imports {name}"
    f" (floor {FLOORS[room(name)]})"
    for module, names in imports.items()
    for name in sorted(names)
    if room(module) and name.split(".")[0] == "alphallm" and room(name)
    if room(name) != room(module) and FLOORS[room(name)] >= FLOORS[room(module)]
  ]


def test_every_room_has_a_floor():
  homeless = {room(module) for module in SOURCES} - {"", *FLOORS}
  assert not homeless, (
    f"give {sorted(homeless)} a floor in FLOORS of tests/architecture_test.py"
  )


def test_imports_go_down():
  assert not breaches(IMPORTS)
  assert breaches({"alphallm.tasks.base": {"alphallm.search.mcts"}})
  assert breaches({"alphallm.tasks.base": {"alphallm.models"}})


def test_the_package_itself_imports_nothing():
  assert not IMPORTS["alphallm"]


def test_there_are_no_circles():
  graph = {
    module: {name for name in names if name in SOURCES and name != "alphallm"}
    for module, names in IMPORTS.items()
  }
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("wall", WALLS)
def test_walls(wall):
  sources = SOURCES | read("configs")
  for module, source in sources.items():
    for name in imported(source, SOURCES):
      if f"{name}.".startswith(f"{wall}."):
        home = room(module) if module.startswith("alphallm") else "configs"
        assert home in WALLS[wall], f"{module} imports {name}"


# Packages of the extras, which not everyone has installed.
EXTRAS = {
  "huggingface_hub",
  "jinja2",
  "math_verify",
  "matplotlib",
  "tokenizers",
  "transformers",
}


def test_extras_are_imported_where_they_are_used():
  for module, source in SOURCES.items():
    top = [x for x in ast.parse(source).body if "Import" in type(x).__name__]
    names = imported(ast.unparse(ast.Module(top, [])), SOURCES)
    packages = {name.split(".")[0] for name in names}
    # Sandboxed modules are programs of their own, run where they are needed.
    assert room(module) == "sandbox" or not packages & EXTRAS, module


def test_imports_are_read():
  source = "import a.b\nfrom flax import linen as nn\ndef f():\n  import mctx"
  assert imported(source, {}) == {"a.b", "flax.linen", "mctx"}
  source = "from alphallm import types\nfrom alphallm.types import State"
  assert imported(source, {"alphallm.types"}) == {"alphallm.types"}
