"""Tests of the roadmap's page."""

from alphallm import phases, plots, report, roadmap_page

ROW = {
  "slots": dict(zip(phases.SLOTS, "abcde", strict=True)),
  "method": "mcts_2",
  "asks": "checker",
  "before": "0001",
  "after": "0111",
  "test_tokens": 12.4,
  "train_tokens": {"documents": 1_000, "self-play": 2_000},
  "train_seconds": 1.0,
  "problem": "make 3 of <1> and 2",
  "written": "1+2=3\n<script>",
}


def other(slot, after):
  chosen = {"slots": ROW["slots"] | {slot: "z"}, "after": after}
  return {f"alphazero, another {slot}": ROW | chosen}


def test_the_page():
  rows = {"g1": {"why": "no model"}, "alphazero": ROW}
  rows |= other("reward", "0001") | other("learning", "1111")
  parts = roadmap_page.sections(rows, {"success": "s.png"})
  five, added = parts[:2]
  assert [line[0] for line in five.rows] == ["g1", "alphazero"]
  assert five.rows[0][1] == "not run: no model"
  assert {len(line) for line in five.rows} == {len(five.header)}
  line = five.rows[1]
  assert line[1:7] == ["a", "b", "c", "d", "e", "checker"]
  assert line[7].startswith("25.0% (") and line[8].startswith("75.0% (")
  assert line[9:] == ["3,000", "12"]
  assert [line[0] for line in added.rows] == ["reward", "learning"]
  assert [line[1] for line in added.rows] == ["z for b", "z for d"]
  assert [line[3] for line in added.rows] == ["+50.0%", "-25.0%"]
  assert "<script>" not in report.html("t", parts)


def test_successes_are_drawn(tmp_path):
  bars = {
    name: {"before": (1, 10), "after": (10, 10)} for name in ("one", "two")
  }
  path = plots.successes(bars, tmp_path / "s.png")
  assert path.read_bytes().startswith(b"\x89PNG")
