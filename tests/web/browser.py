"""Headless Chromium without a network, as a person uses it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
if CHROMIUM is None or DRIVER is None:
    pytest.skip("needs a browser: apt-get install chromium chromium-driver", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver")

PATIENCE = 60
"""Time limit in seconds for something to appear."""


class Browser:
    """Chromium.

    Args:
        microphone: WAV file that is played in a loop as the microphone.
    """

    def __init__(self, microphone: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        for argument in (
            "headless=new", "window-size=1200,850", "disable-dev-shm-usage", "use-fake-ui-for-media-stream",
            "use-fake-device-for-media-stream", f"use-file-for-fake-audio-capture={microphone}",
            "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network
            *(["no-sandbox"] if os.geteuid() == 0 else []),
        ):  # fmt: skip
            options.add_argument(f"--{argument}")
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))

    def find(self, selector: str) -> Any:
        """Wait for the first element."""
        return self._wait(lambda: next(iter(self.driver.find_elements("css selector", selector)), None), selector)

    def open_tab(self, name: str) -> None:
        self._wait(lambda: self._click_text("button[role=tab]", name), name)

    def choose(self, name: str) -> None:
        """Choose one of the names that may be forgotten."""
        self.find("#whom input").click()
        self._wait(lambda: self._click_text("[role=option]", name), name)

    def wait_for(self, selector: str, text: str) -> str:
        """Text of an element, as soon as it contains a text."""
        self._wait(lambda: text in self.find(selector).text, f"{text!r} in {selector}")
        return self.find(selector).text

    def asked(self) -> set[str]:
        """Hosts that were requested since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme not in ("data", "blob")}

    def _click_text(self, selector: str, text: str) -> bool:
        found = [e for e in self.driver.find_elements("css selector", selector) if e.text == text]
        if found:
            found[0].click()
        return bool(found)

    def _wait(self, condition: Any, what: str) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.driver, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
        return wait.until(lambda _: condition(), f"waited for {what}")
