"""The walls around a program: namespaces, a root of its own, limits.

python -I -S jail.py SETTINGS, a JSON object; only `isolation` calls it.

Three processes. This one leaves the machine's namespaces; its child, the first
process of the new ones, builds a root that holds the interpreter and the
system's libraries, read-only, and an empty /tmp; its child gives up all rights,
takes on the limits and becomes the program. When the first dies, so does the
second, and with it whatever is left of the third. Any step that fails ends all
of it before the program has begun.
"""

import ctypes
import json
import os
import resource
import signal
import sys

_LIBC = ctypes.CDLL(None, use_errno=True)
# Of the kernel's headers.
_NEW_MOUNTS, _NEW_HOST, _NEW_IPC = 0x00020000, 0x04000000, 0x08000000
_NEW_USERS, _NEW_PIDS, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1 << 5, 1 << 12, 1 << 14, 1 << 18
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin")
_DEVICES = ("/dev/null", "/dev/urandom")
_FIRST_UID, _NUM_UIDS = 60_000, 5_000  # of programs that root starts


def main(settings: dict) -> None:
  """Run the program; exit as it did."""
  report = settings["report"]  # a file descriptor
  try:
    is_root = os.geteuid() == 0
    uid = _FIRST_UID + os.getpid() % _NUM_UIDS if is_root else os.getuid()
    _control(_DEATH_SIGNAL, signal.SIGKILL)
    _leave(is_root)
    first = os.fork()
    if first:
      _exit_like(first)
    _control(_DEATH_SIGNAL, signal.SIGKILL)
    _build(settings["root"], settings["reads"], settings["disk_bytes"])
    program = os.fork()
    if program:
      _control(_DUMPABLE, 0)
      os.close(report)
      _exit_like(program)
    os.setsid()
    _give_up(uid, is_root)
    _limit(settings, extra=0 if is_root else 2)  # the two above count there
    os.write(report, b"ready\n")
    command = [settings["python"], "-I", "-S", "-B", "/runner.py", str(report)]
    os.execve(command[0], command, {"PATH": "/usr/bin:/bin", "HOME": "/tmp"})
  except BaseException as error:  # nothing may go on half walled in
    os.write(report, f"failed: {error}\n".encode()[:500])
    os._exit(125)


def _leave(is_root: bool) -> None:
  """Leave the namespaces of the machine."""
  uid, gid = os.getuid(), os.getgid()
  flags = _NEW_MOUNTS | _NEW_HOST | _NEW_IPC | _NEW_PIDS | _NEW_NET
  _call("unshare", flags if is_root else flags | _NEW_USERS)
  if not is_root:  # the same user, who may now mount
    for name, text in (
      ("setgroups", "deny"),
      ("uid_map", f"{uid} {uid} 1"),
      ("gid_map", f"{gid} {gid} 1"),
    ):
      with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(text)


def _build(root: str, reads: list[str], disk_bytes: int) -> None:
  """Make `root` the root: what may be read, and an empty /tmp."""
  _mount("none", "/", None, _RECURSIVE | _PRIVATE)
  _mount("tmpfs", root, "tmpfs", _NO_SUID, "size=1m,mode=755")
  runner = os.path.join(os.path.dirname(__file__), "runner.py")
  with open(runner, encoding="utf-8") as file:
    text = file.read()
  for path in dict.fromkeys([*_SYSTEM, *_DEVICES, *reads]):
    inside = root + path
    if os.path.islink(path):
      os.symlink(os.readlink(path), inside)
    elif os.path.exists(path) and not os.path.exists(inside):
      _show(path, inside)
  with open(root + "/runner.py", "w", encoding="utf-8") as file:
    file.write(text)
  os.mkdir(root + "/tmp")
  size = f"size={disk_bytes},nr_inodes=1024,mode=1777"
  _mount("tmpfs", root + "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, size)
  _mount("none", root, None, _REMOUNT | _READ_ONLY | _NO_SUID)
  os.chroot(root)
  os.chdir("/tmp")


def _show(path: str, inside: str) -> None:
  """Let a folder or file be read, and no more, under the new root."""
  folder = inside if os.path.isdir(path) else os.path.dirname(inside)
  os.makedirs(folder, mode=0o755, exist_ok=True)
  if folder != inside:
    open(inside, "w").close()
  _mount(path, inside, None, _BIND)
  # What a mount already forbids, its copy may not allow.
  kept = os.statvfs(inside).f_flag & ~_READ_ONLY & 0x7FF
  flags = _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | kept
  _mount("none", inside, None, flags)


def _give_up(uid: int, is_root: bool) -> None:
  """Give up all rights; those of a user's namespace end with `exec`."""
  if is_root:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
  _control(_NO_NEW_PRIVILEGES, 1)
  os.umask(0o077)


def _limit(settings: dict, extra: int) -> None:
  for name, most in (
    ("AS", settings["memory_bytes"]),
    ("CPU", settings["cpu_seconds"]),
    ("FSIZE", settings["disk_bytes"]),
    ("NPROC", settings["processes"] + extra),
    ("NOFILE", 64),
    ("CORE", 0),
    ("MSGQUEUE", 0),
    ("MEMLOCK", 0),
  ):
    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def _exit_like(process: int) -> None:
  """Wait for a child and exit as it does."""
  for number in (0, 1, 2):
    os.close(number)
  code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
  os._exit(code if code >= 0 else 128 - code)


def _mount(source, target, kind, flags, options=None) -> None:
  text = lambda x: None if x is None else os.fsencode(x)
  _call("mount", text(source), text(target), text(kind), flags, text(options))


def _control(option: int, value: int) -> None:
  _call("prctl", option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


def _call(name: str, *arguments) -> None:
  if getattr(_LIBC, name)(*arguments):
    error = ctypes.get_errno()
    raise OSError(error, f"{name}: {os.strerror(error)}")


if __name__ == "__main__":
  main(json.loads(sys.argv[1]))
