"""Kills one of two processes at random moments; prints what came of it.

python tests/distributed/kills.py [--kills 10] [--seed 0] [--devices 4]

A training of two processes is run to its end, to know how long it takes (longer
where its programs are not yet in the cache of the tests: then run this twice).
For each kill another begins, and at a moment and to a process that a seed has
drawn, from its start to its end, SIGKILL is sent. The other must end in time,
and with a line (before the two have met it waits for the one that is missing,
for five minutes); the same commands must go on to the same state, bit by bit. A
row of a table tells of each; the exit code is 1 where one of them failed.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[i]) for i in (1, 2)]

import conftest  # noqa: E402, F401, where compiled programs are kept
import pods  # noqa: E402
import pods_test  # noqa: E402
import train_test  # noqa: E402

from alphallm import hosts, metrics  # noqa: E402


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--kills", default=10, type=int)
  parser.add_argument("--seed", default=0, type=int)
  parser.add_argument("--devices", default=4, type=int, help="of a process")
  args = parser.parse_args()
  rng, length = random.Random(args.seed), pods.LENGTH(pods_test.TOTAL)
  folder = pathlib.Path(tempfile.mkdtemp())
  whole, failed = folder / "whole", 0
  began = time.monotonic()
  pods.train(whole, 2, args.devices, length)
  span = time.monotonic() - began
  print(f"undisturbed: {span:.0f} s\n", flush=True)
  print(
    "| killed | after | it had | the other ended after | code | last word |"
  )
  print("|---|---|---|---|---|---|", flush=True)
  for number in range(args.kills):
    victim, moment = rng.randrange(2), rng.uniform(0, span)
    workdir = folder / str(number)
    running = pods.start(workdir, 2, args.devices, length)
    running[victim].process.join(moment)
    state = _state(workdir)
    running[victim].process.kill()
    began = time.monotonic()
    other = running[1 - victim]
    ended = other.wait(600)
    seconds = time.monotonic() - began
    # It may be said by another process, and a little later.
    time.sleep(1)
    said = other.err.read_text().strip().splitlines() or ["nothing"]
    word = next((line for line in said if hosts.GO_ON in line), said[-1])
    unmet = "not met" in word
    in_order = ended.code == 0 or hosts.GO_ON in word or unmet
    in_order &= unmet or seconds < 2 * hosts.HEARTBEAT_SECONDS
    try:
      pods.train(workdir, 2, args.devices, length)
      train_test.assert_same_run(workdir, whole, pods_test.last_state)
    except AssertionError as error:
      word, in_order = f"NOT EQUAL: {str(error).splitlines()[:1]}", False
    failed += not in_order
    print(
      f"| process {victim} | {moment:.1f} s | {state} | {seconds:.1f} s | "
      f"{ended.code} | {word} |",
      flush=True,
    )
  shutil.rmtree(folder)
  sys.exit(bool(failed))


def _state(workdir) -> str:
  """Return in words how far a training has come."""
  if not (workdir / "config.json").exists():
    return "not begun"
  if not (workdir / "metrics.jsonl").exists():
    return "begun"
  done = len(metrics.read_metrics(workdir)) - 1
  names = [path.name for path in (workdir / "checkpoints").glob("*")]
  saving = any(not name.isdecimal() for name in names)
  return f"{done} iterations" + ", a save under way" * saving


if __name__ == "__main__":
  main()
