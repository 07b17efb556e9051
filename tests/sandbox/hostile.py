"""Programs that mean harm, run one by one; as a program: as this user.

python hostile.py

A program passes only where it got through: what is done to it, none may. Prints
a line for each that did, or that outlived its time.
"""

import concurrent.futures
import os
import pathlib
import socket
import sys
import tempfile
import time

from alphallm.sandbox import isolation

LIMITS = isolation.Limits(
  seconds=0.5,
  cpu_seconds=1,
  memory_bytes=256 << 20,
  disk_bytes=4 << 20,
  output_bytes=1 << 16,
)
# May fork: what is left behind must die too.
SEVERAL = isolation.Limits(**{**vars(LIMITS), "processes": 16})

_TRY = "try:\n  {}\nexcept BaseException:\n  pass\n"
_CALL = "import ctypes\nf = ctypes.CDLL(None, use_errno=True).{}\n"

PROGRAMS = {
  "fork bomb": "import os\nwhile True:\n  try:\n    os.fork()\n"
  "  except OSError: pass",
  "thread bomb": "import threading, time\nwhile True:\n"
  "  threading.Thread(target=time.sleep, args=(99,)).start()",
  "memory by lists": "x = []\nwhile True: x.append([0] * 100_000)",
  "memory at once": "x = bytearray(1 << 31)",
  "memory by mmap": "import mmap\n"
  "x = [mmap.mmap(-1, 1 << 26) for _ in range(9)]\n"
  "for y in x: y.write(bytes(1 << 26))",
  "a number too large": "x = 7 ** 10 ** 9",
  "a full disk": "for i in range(9):\n"
  "  open(f'/tmp/{i}', 'wb').write(bytes(1 << 20))",
  "a large file": "open('/tmp/x', 'wb').truncate(1 << 40)",
  "many files": "for i in range(5000): open(f'/tmp/{i}', 'w').close()",
  "many open files": "x = [open('/dev/null') for _ in range(1000)]",
  "output": "while True: print('a' * 1000)",
  "errors": "import os\nwhile True: os.write(2, b'a' * 1000)",
  "a loop": "while True: pass",
  "sleep": "import time\ntime.sleep(99)",
  "sleep, deaf to signals": "import signal, time\n"
  "for n in set(signal.Signals) - {9, 19}: signal.signal(n, signal.SIG_IGN)\n"
  "time.sleep(99)",
  "stops itself": "import os\nos.kill(os.getpid(), 19)",
  "silent loop": "import os\nos.closerange(0, 256)\nwhile True: pass",
  "slow expression": "import re\nre.match('(a*)*b', 'a' * 40)",
  "deep recursion": "import sys\nsys.setrecursionlimit(10 ** 9)\n"
  "def f(): f()\nf()",
  "crash": "import ctypes\nctypes.string_at(0)",
  "a password file": "open('/etc/passwd').read()",
  "a file of the user": "open(CANARY).read()",
  "write a file of the user": "open(CANARY, 'r+').write('x')",
  "write to the system": "import sys\nopen(sys.prefix + '/x', 'w')",
  "remove the system": "import os, sys\n"
  "os.unlink(os.path.realpath(sys.executable))",
  "write the runner": "open('/runner.py', 'w')",
  "processes": "import os\nassert len(os.listdir('/proc')) > 0",
  "the environment": "import os\nassert set(os.environ) - {'PATH', 'HOME',"
  " 'LC_CTYPE'}",
  "the network": "import socket\n"
  "socket.create_connection(('192.0.2.1', 80), timeout=9)",
  "a port of the machine": "import socket\n"
  "socket.create_connection(('127.0.0.1', PORT), timeout=9)",
  "a socket of the machine": "import socket\n"
  "socket.socket(socket.AF_UNIX).connect('\\0' + NAME)",
  "kill the parent": "import os, time\nos.kill(os.getppid(), 9)\n"
  "time.sleep(0.2)\nos.kill(os.getppid(), 15)\nraise SystemExit",
  "kill everyone": _TRY.format("import os; os.kill(-1, 9)") + "1 / 0",
  "kill by number": "import os\nfor i in range(3, 70_000):\n  "
  + _TRY.format("os.kill(i, 9)").replace("\n", "\n  ")
  + "\n1 / 0",
  "become root": "import os\nos.setuid(0)",
  "become root by su": "import subprocess\n"
  "subprocess.run(['su', '-c', 'true'], check=True, timeout=9)",
  "mount": _CALL.format("mount")
  + "assert not f(b'x', b'/tmp', b'tmpfs', 0, None)",
  "new namespaces": _CALL.format("unshare") + "assert not f(0x10000000)",
  "another root": "import os\nos.mkdir('/tmp/x')\nos.chroot('/tmp/x')",
  "trace the parent": _CALL.format("ptrace") + "assert not f(16, 1, 0, 0)",
  "more memory": "import resource\n"
  "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
  "exit as if right": "raise SystemExit(0)",
  "exit at once": "import os\nos._exit(0)",
  "a forged report": "import os\nfor i in range(3, 64):\n  "
  + _TRY.format("os.write(i, b'passed')").replace("\n", "\n  ")
  + "\nraise SystemExit",
  "not a program": "def",
}
FORKING = {
  "fork bomb of several": PROGRAMS["fork bomb"],
  "orphans": "import os, time\nfor _ in range(5):\n  if not os.fork():\n"
  "    os.setsid()\n    os.closerange(0, 256)\n    time.sleep(99)\n"
  "raise SystemExit",
}


def left_behind() -> list[str]:
  """Return the programs that still run."""
  found = []
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
      command = path.read_bytes()
    except OSError:  # it has just ended
      continue
    if b"/runner.py" in command:
      found.append(command.decode())
  return found


def breaches() -> list[str]:
  """Return a line for every program that did harm or outlived its time."""
  with (
    tempfile.NamedTemporaryFile("w", suffix=".canary") as canary,
    socket.create_server(("127.0.0.1", 0)) as server,
    socket.socket(socket.AF_UNIX) as hidden,
  ):
    canary.write("alive")
    canary.flush()
    name = f"canary-{os.getpid()}"
    hidden.bind("\0" + name)
    hidden.listen()
    marks = {
      "CANARY": repr(canary.name),
      "PORT": str(server.getsockname()[1]),
      "NAME": repr(name),
    }

    def run(item):
      title, text, limits = item
      for mark, value in marks.items():
        text = text.replace(mark, value)
      result = isolation.run(text, limits)
      if result.passed:
        return f"{title}: passed"
      if len(result.output) > limits.output_bytes:
        return f"{title}: wrote too much"
      if result.seconds > limits.seconds + 1:
        return f"{title}: {result.seconds:.1f} s"
      return None

    items = [(*x, LIMITS) for x in PROGRAMS.items()]
    items += [(*x, SEVERAL) for x in FORKING.items()]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
      found = [line for line in pool.map(run, items) if line]
    if pathlib.Path(canary.name).read_text() != "alive":
      found.append("the canary is dead")
  deadline = time.monotonic() + 1
  while left_behind() and time.monotonic() < deadline:
    time.sleep(0.05)
  return found + [f"left behind: {x}" for x in left_behind()]


if __name__ == "__main__":
  lines = breaches()
  print("\n".join([f"uid {os.getuid()}", *lines]))
  sys.exit(bool(lines))
