"""Runs a program inside the walls, and says if it came to its end.

python -I -S runner.py REPORT, a file descriptor; only `jail` calls it.
"""

import json
import os
import sys


def main(report: int) -> None:
  """Run `source` of standard input; write `secret` if nothing was raised.

  A program that exits before its end, with whatever code, has not passed.
  """
  request = json.loads(sys.stdin.buffer.read())
  code = compile(request["source"], "program", "exec", dont_inherit=True)
  exec(code, {"__name__": "__main__"})
  sys.stdout.flush()
  os.write(report, request["secret"].encode())


if __name__ == "__main__":
  main(int(sys.argv[1]))
