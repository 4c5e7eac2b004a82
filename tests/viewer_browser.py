"""A real browser for the tests of the viewer's page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

pytest.importorskip("selenium", reason="needs selenium (envs/dev.txt)")

from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

__all__ = ["By", "Keys", "NoAlertPresentException", "Page", "Select", "needs_browser", "start_browser"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: chromium and chromedriver (Debian: chromium-driver)"
)


def start_browser() -> webdriver.Chrome:
    """A headless browser that logs what it asks for and complains about."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        "disable-quic",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        "window-size=1400,900",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.unhandled_prompt_behavior = "ignore"  # a dialog stays, and the test finds it
    return webdriver.Chrome(options=options, service=Service(DRIVER))


class Page:
    """A browser with the viewer open."""

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver = driver
        self.address = (folder / "index.html").as_uri()

    def open(self, **state: str) -> Page:
        """Open it anew at a deep link."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        given = "&".join(f"{key}={value}" for key, value in state.items())
        self.driver.get(f"{self.address}#{given}")
        return self.settled()

    def settled(self) -> Page:
        """Wait until nothing is under way: typing, search, responses, the address."""
        typing = self.driver.switch_to.active_element.tag_name == "input"
        self.driver.execute_async_script("setTimeout(arguments[1], arguments[0])", 420 if typing else 200)
        self.wait(lambda: self("#conversation").get_attribute("aria-busy") == "false")
        self.wait(lambda: "searching" not in self.text("#count"))
        return self

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.driver, 30, 0.05).until(lambda _: condition())

    def __call__(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self(selector).get_attribute("textContent")

    def keys(self, *keys: str) -> Page:
        """Press keys where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)
        return self.settled()

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    @property
    def state(self) -> dict[str, str]:
        """The address."""
        return {k: v[0] for k, v in parse_qs(urlparse(self.driver.current_url).fragment).items()}

    def listed(self) -> list[str]:
        """The excerpts of the rows that exist, in order."""
        return [e.get_attribute("textContent") for e in self.all(".row .excerpt")]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Every address the browser asked for since the page was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if url != "about:blank"]
