"""A headless Chromium without a network, told what to do over the pipe of its DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

CHROMIUM = shutil.which("chromium")


class Page:
    """The one page of a browser; `events` are what it told of by itself."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._rest, self._number = b"", 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        (target,) = (one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise EOFError("the browser is gone")
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, url: str) -> None:
        """Load a page; `events` are its own from then on."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression, or of what it promises."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, selector: str) -> bytes:
        """A PNG of an element."""
        box = self.run(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        clip = {**{name: box[name] for name in ("x", "y", "width", "height")}, "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", clip=clip)["data"])

    def told(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]

    def errors(self) -> list[str]:
        """What the console would show as errors, and exceptions that nobody caught."""
        logged = [entry["entry"]["text"] for entry in self.told("Log.entryAdded") if entry["entry"]["level"] == "error"]
        said = [str(call) for call in self.told("Runtime.consoleAPICalled") if call["type"] in ("error", "warning")]
        return logged + said + [str(thrown) for thrown in self.told("Runtime.exceptionThrown")]

    def requests(self) -> list[str]:
        return [event["request"]["url"] for event in self.told("Network.requestWillBeSent")]


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """A browser with a page; every request that leaves the machine would meet a proxy that is not there."""
    assert CHROMIUM is not None
    profile = tempfile.mkdtemp()
    theirs_in, write = os.pipe()
    read, theirs_out = os.pipe()
    # The browser reads from its descriptor 3 and writes to 4.
    command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, "--headless=new", "--no-sandbox", "--remote-debugging-pipe",
         "--enable-unsafe-swiftshader", "--window-size=1280,860", f"--user-data-dir={profile}",
         "--proxy-server=127.0.0.1:9", "about:blank"],
        pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(write, read)
    finally:
        process.terminate()
        process.wait()
        os.close(write)
        os.close(read)
        shutil.rmtree(profile, ignore_errors=True)
