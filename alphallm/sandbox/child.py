"""The program of a child process: answers requests, a line of JSON each.

python -m alphallm.sandbox.child MODULE MEMORY_BYTES
"""

import importlib
import json
import os
import sys


def main(module: str, memory: str) -> None:
  """Answer requests by `module.answer`, until the input ends."""
  replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print
  say = lambda reply: print(json.dumps(reply), file=replies, flush=True)
  try:
    answer = importlib.import_module(module).answer
  except ImportError as error:
    say({"error": str(error)})
    return
  _limit_memory(int(memory))
  say({})
  for line in sys.stdin:
    try:
      reply = {"value": answer(json.loads(line))}
    except Exception as error:  # whatever the text has brought about
      text = " ".join(str(error)[:300].split())
      reply = {"error": f"{type(error).__name__}: {text}"}
    say(reply)


def _limit_memory(most: int) -> None:
  try:
    import resource  # not there on every system

    resource.setrlimit(resource.RLIMIT_AS, (most, most))
  except (ImportError, ValueError, OSError):
    pass


if __name__ == "__main__":
  main(*sys.argv[1:])
