"""A real browser for pages: one for the whole test run, none of which may reach a network."""

import contextlib
import shutil

import pytest


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright, of the dev extra, is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("there is no Chromium to open pages in")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opener(browser):
    """Gives a function that opens a file in a page of its own, as a new reader would.

    Errors and warnings of the console, errors of scripts, and requests for anything but the file are collected; in the
    end there must be none.
    """
    contexts, problems = [], []

    def open_file(path, *, width=1440, height=900, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        address = path.resolve().as_uri()

        def asked(request):
            if request.url.partition("#")[0] != address and not request.url.startswith(("data:", "blob:")):
                problems.append(f"request for {request.url}")

        def said(message):
            if message.type in ("error", "warning"):
                problems.append(f"{message.type} in the console: {message.text}")

        page.on("request", asked)
        page.on("console", said)
        page.on("pageerror", lambda error: problems.append(f"error of a script: {error}"))
        page.goto(address)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def open_page(browser):
    """open_page(path, width=1440, height=900, theme="light") -> playwright page."""
    with opener(browser) as open_file:
        yield open_file


@pytest.fixture(scope="module")
def open_shared_page(browser):
    """The same for a page that the tests of a file share, since large pages take a second to open."""
    with opener(browser) as open_file:
        yield open_file
