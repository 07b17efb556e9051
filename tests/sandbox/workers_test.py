import os
import threading
import time

import pytest

from alphallm.sandbox import workers


def answer(request):
  """Do as the request says: this module is what the workers run."""
  if "sleep" in request:
    time.sleep(request["sleep"])
  if "exit" in request:
    os._exit(1)
  if "flood" in request:
    return "a" * (17 << 20)
  if "eat" in request:
    return len(bytearray(request["eat"]))
  print("noise")
  return {"double": 2 * request["number"], "process": os.getpid()}


def make(module="workers_test", **options):
  options = {"seconds": 1.0, "memory_bytes": 1 << 29} | options
  return workers.Workers(module, **options)


def test_answers_errors_and_processes_that_are_stopped():
  few = make()
  first = few.ask({"number": 4})
  assert first["double"] == 8
  assert few.ask({"number": "a"}) == {"double": "aa"} | {
    "process": first["process"]
  }
  with pytest.raises(workers.Failed, match="KeyError: 'number'"):
    few.ask({})
  with pytest.raises(workers.Failed, match="MemoryError"):
    few.ask({"eat": 1 << 30})
  assert few.ask({"number": 1})["process"] == first["process"]
  for request, message in (
    ({"sleep": 60}, "in time"),
    ({"exit": 1}, "process ended"),
    ({"flood": 1}, "too long"),
  ):
    with pytest.raises(workers.Late, match=message):
      few.ask(request)
    assert few.ask({"number": 1})["process"] != first["process"]


def test_many_are_answered_side_by_side_from_any_thread():
  requests = [{"number": i} for i in range(6)]
  requests[2] = {"sleep": 60}
  answers = []
  few = make(num_workers=2, seconds=0.5)
  thread = threading.Thread(
    target=lambda: answers.extend(few.ask_all(requests, None, 60.0))
  )
  thread.start()
  thread.join()
  assert [a and a["double"] for a in answers] == [0, 2, None, 6, 8, 10]
  began = time.monotonic()
  assert few.ask_all([{"sleep": 60}] * 50, None, 1.5) == [None] * 50
  assert time.monotonic() - began < 10


def test_a_module_that_is_missing_is_named():
  missing = make("nowhere")
  for ask in missing.ask, lambda x: missing.ask_all([x, x], None, 9.0):
    with pytest.raises(RuntimeError, match="No module named 'nowhere'"):
      ask({})
