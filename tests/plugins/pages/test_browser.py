"""The pages in a real browser: what fits, what keys reach, what the theme is, where links lead."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi.testclient import TestClient
    from playwright.sync_api import Browser, Page

NAME = "flight_delays"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FRAME = "allow-scripts allow-same-origin allow-forms allow-downloads"
"""What Airflow lets a view of a plugin do."""

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium"
)


@pytest.fixture
def address(browser: TestClient) -> Iterator[str]:
    """A server on which the pages lie as Airflow's lays them."""
    from ml_pages.pages import app

    outer = FastAPI()
    outer.mount("/perennial", app)

    @outer.get("/plugin/pipelines")
    def framed() -> HTMLResponse:
        return HTMLResponse(
            f'<iframe sandbox="{FRAME}" src="/perennial/pipelines" width="1200" height="800">'
        )

    @outer.get("/favicon.ico")
    def icon() -> Response:
        return Response(media_type="image/x-icon")

    @outer.get("/dags/{dag}")
    def dag(dag: str) -> HTMLResponse:
        return HTMLResponse(f"<title>{dag}</title>")

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(outer, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        limit = time.monotonic() + 30
        while not server.started and time.monotonic() < limit:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(chromium: Browser, address: str, token: Callable[..., str]) -> Iterator[Page]:
    """A tab that complains of nothing."""
    context = chromium.new_context(base_url=address, color_scheme="light")
    context.add_cookies([{"name": "_token", "value": token(), "url": address}])
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    tab.on("pageerror", lambda fault: said.append(str(fault)))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    yield tab
    context.close()
    assert said == []


def ground(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))


def test_pages_fit_and_keys_reach_every_point(page: Page) -> None:
    page.goto(f"/perennial/pipelines/{NAME}")
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        room = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(room) == 0
    tip = page.locator(".tip")
    points = page.locator("#performance a.point")
    points.last.focus()
    page.keyboard.press("ArrowLeft")
    assert points.nth(6).evaluate("point => point === document.activeElement")
    text = tip.inner_text()
    assert text.startswith("2013-04-23 to 04-29\nrealised 0.7")
    assert "version 3, 5,800 of 6,000 rows" in text
    points.first.hover()
    assert tip.inner_text().startswith("2013-03-12 to 03-18\n")
    page.locator("svg.cells").focus()
    first = page.locator(".heat li").first.inner_text()
    assert tip.inner_text().startswith(f"{first}\n2013-04-30 to 05-06, version 3\n")
    for _ in range(9):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert tip.inner_text().startswith(f"{first}\n2013-03-12 to 03-18, version 1\n")
    assert "of the way to an alarm" in tip.inner_text()


def test_a_cell_opens_its_run_by_enter_and_by_a_click(page: Page) -> None:
    page.route("**/run?**", lambda asked: asked.fulfill(body="a run"))
    cells = f"/perennial/pipelines/{NAME}"
    page.goto(cells)
    page.locator("svg.cells").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/run\?pipeline={NAME}&run=watch-17&flow=monitoring$"))
    page.goto(cells)
    page.locator("svg.cells").click(position={"x": 2, "y": 2})
    page.wait_for_url(re.compile(rf"/run\?pipeline={NAME}&run=watch-10&flow=monitoring$"))
    assert page.inner_text("body") == "a run"


def test_a_segment_is_chosen_without_a_button(page: Page) -> None:
    page.goto(f"/perennial/pipelines/{NAME}")
    page.locator("select[name=segment]").select_option("carrier=<b>")
    page.wait_for_url(re.compile("segment=carrier"))
    assert "roc_auc of carrier=<b>" in page.locator("#performance").inner_text()


def test_the_theme_is_airflows_or_else_the_systems(page: Page) -> None:
    page.goto("/perennial/pipelines")
    assert ground(page) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    dark = ground(page)
    assert dark != "rgb(255, 255, 255)"
    page.evaluate("localStorage.setItem('theme', 'light')")
    page.reload()
    assert ground(page) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="light")
    other = page.context.new_page()
    other.goto("/perennial/pipelines")
    other.evaluate("localStorage.setItem('theme', 'dark')")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert ground(page) == dark


def test_links_to_airflow_leave_its_frame_and_others_stay(page: Page) -> None:
    page.goto("/plugin/pipelines")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name=NAME, exact=True).click()
    frame.get_by_role("link", name="monitoring", exact=True).first.click()
    page.wait_for_url("**/dags/flight_delays__monitoring")
    assert page.title() == "flight_delays__monitoring"
