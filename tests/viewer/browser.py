"""Drives a headless Chromium over a pipe, by its DevTools protocol."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find() -> str | None:
  """Return the path of a Chromium; that of $CHROMIUM, if it is set."""
  names = (os.environ.get("CHROMIUM", ""), *NAMES)
  return next(filter(None, map(shutil.which, names)), None)


class Tab:
  """A tab of a browser."""

  def __init__(self, process, sink, source):
    self._process, self._sink, self._source = process, sink, source
    self._buffer, self._calls, self.events = b"", 0, []
    self._session = {}
    target = self.call("Target.createTarget", url="about:blank")
    attached = self.call(
      "Target.attachToTarget", targetId=target["targetId"], flatten=True
    )
    self._session = {"sessionId": attached["sessionId"]}
    for room in ("Page", "Runtime", "Log", "Network"):
      self.call(f"{room}.enable")

  def call(self, method, **params):
    """Call a method of the protocol and return its result."""
    self._calls += 1
    message = {"id": self._calls, "method": method, "params": params}
    os.write(self._sink, json.dumps(message | self._session).encode() + b"\0")
    while True:
      answer = self._read()
      if answer.get("id") == self._calls:
        assert "error" not in answer, answer
        return answer["result"]
      self.events.append(answer)

  def _read(self):
    while b"\0" not in self._buffer:
      read = os.read(self._source, 1 << 20)
      assert read, "the browser has gone"
      self._buffer += read
    message, _, self._buffer = self._buffer.partition(b"\0")
    return json.loads(message)

  def open(self, path, *, width=1280, height=800, dark=False) -> float:
    """Open a file; return the seconds until it is there and drawn."""
    self.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=False,
    )
    scheme = {
      "name": "prefers-color-scheme",
      "value": "dark" if dark else "light",
    }
    self.call("Emulation.setEmulatedMedia", features=[scheme])
    self.events.clear()
    began = time.monotonic()
    self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
    while not any(
      e.get("method") == "Page.loadEventFired" for e in self.events
    ):
      self.events.append(self._read())
    self.frame()
    return time.monotonic() - began

  def frame(self):
    """Wait until the page was drawn twice."""
    self.run(
      "new Promise(done => requestAnimationFrame(() => "
      "requestAnimationFrame(() => done(0))))"
    )

  def run(self, script):
    """Return the value of an expression in the page."""
    answer = self.call(
      "Runtime.evaluate",
      expression=script,
      returnByValue=True,
      awaitPromise=True,
      userGesture=True,
    )
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")

  def press(self, *keys):
    """Press keys, each by its name or its character."""
    for key in keys:
      text = {"text": key} if len(key) == 1 else {}
      text = {"text": "\r"} if key == "Enter" else text
      down = "keyDown" if text else "rawKeyDown"
      self.call("Input.dispatchKeyEvent", type=down, key=key, **text)
      self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

  def picture(self, path):
    """Save what is seen as a PNG."""
    shot = self.call("Page.captureScreenshot", format="png")
    pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

  def faults(self):
    """Return errors, refusals and requests since a file was opened."""
    bad = ("Runtime.exceptionThrown", "Log.entryAdded")
    faults = [e for e in self.events if e.get("method") in bad]
    for event in self.events:
      if event.get("method") == "Network.requestWillBeSent":
        url = event["params"]["request"]["url"]
        faults += [] if url.startswith("file:") else [url]
    return faults


@contextlib.contextmanager
def tab():
  """Yield a tab of a browser that is closed in the end."""
  to_browser, sink = os.pipe()
  source, from_browser = os.pipe()
  flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
  # The protocol is spoken on descriptors 3 and 4.
  connected = f'exec "$@" 3</dev/fd/{to_browser} 4>/dev/fd/{from_browser}'
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    process = subprocess.Popen(
      [
        *("sh", "-c", connected, "sh"),
        find(),
        *flags,
        "--remote-debugging-pipe",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}",
      ],
      pass_fds=(to_browser, from_browser),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
      yield Tab(process, sink, source)
    finally:
      process.terminate()
      process.wait(10)
      os.close(sink)
      os.close(source)
