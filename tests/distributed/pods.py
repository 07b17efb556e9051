"""Runs the training program as several processes on this machine."""

import socket
import time

import programs

# A step is one of four candidates, and no tree is searched, which would take
# long to compile.
CONFIG = (
  f"--config={programs.CONFIG}",
  "--config.search.num_simulations=0",
  "--config.search.permission=rules",
  "--config.learner.learn_from=solved",
  "--config.learner.max_steps=5",
  "--config.train.checkpoint_every=1",
)
LENGTH = "--config.train.num_iterations={}".format


def unmeasured(module):
  """Measure nothing, which saves the time to compile it."""

  class Measurement:
    def __init__(self, run, mesh):
      pass

    def __call__(self, params):
      return {"greedy": 0.0, "mcts_3": 0.0}

  module.measurement_lib.Measurement = Measurement


def untried(module):
  """Try no problem while a supervised run learns, for the same reason."""

  class Measurement:
    def __init__(self, run, mesh):
      pass

    def __call__(self, params):
      return {"greedy": 0.0, "sampled": 0.0}

  module.tuning.Measurement = Measurement


def start(workdir, processes, devices, *options) -> list[programs.Running]:
  """Start a training in some processes of so many devices each."""
  options = *CONFIG, *options
  return start_any(
    "train", workdir, processes, devices, *options, before=unmeasured
  )


def start_any(name, workdir, processes, devices, *options, before=None):
  """Start a program in some processes of so many devices each."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  told = f"--coordinator={address}", f"--num_processes={processes}"
  alone = processes == 1
  return [
    programs.Running(
      name,
      f"--workdir={workdir}",
      *(() if alone else (*told, f"--process_id={index}")),
      *options,
      before=before,
      devices=devices,
    )
    for index in range(processes)
  ]


def wait_for_words(running, words, seconds=60):
  """Wait until these words are in what a process that has ended has said.

  They may be said for it, and then a little later.
  """
  deadline = time.monotonic() + seconds
  while words not in (said := running.err.read_text()):
    assert time.monotonic() < deadline, said
    time.sleep(0.05)


def train(workdir, processes, devices, *options) -> list[programs.Ended]:
  """Train to the end in some processes of so many devices each."""
  return ends(start(workdir, processes, devices, *options))


def ends(running) -> list[programs.Ended]:
  """Wait until all processes have ended well."""
  ended = [process.wait(900) for process in running]
  assert all(one.code == 0 for one in ended), ended
  return ended
