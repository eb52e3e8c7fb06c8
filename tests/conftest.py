"""What tests of any room share: the packaged scan, a browser, and how hypothesis runs."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import settings

import uadbids
from balls import balls  # noqa: F401
from runs import example_run, here, made_once  # noqa: F401

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("uadbids", deadline=None)
settings.load_profile("uadbids")


# Files that take minutes begin before the others, so that no process is left alone with one.
LONGEST = (
    "test_participant.py",
    "test_scan.py",
    "test_longitudinal.py",
    "test_site.py",
    "test_train.py",
    "test_api.py",
    "test_registration.py",
    "test_packaged_models.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort whole files: those of `LONGEST`, others with a slow test, and the quick ones."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def turn(item: pytest.Item) -> int:
        if item.path.name in LONGEST:
            return LONGEST.index(item.path.name)
        return len(LONGEST) + (item.path not in slow)

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Undo what a command that was tested before has set: sums depend on the number of threads."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def example_dataset() -> Path:
    """Root of the packaged BIDS dataset: one clinical FLAIR. Not to be written to."""
    return Path(uadbids.__file__).parent / "data" / "example"


@pytest.fixture(scope="session")
def example_flair(example_dataset: Path) -> Path:
    """Path of the packaged FLAIR: 256x256x44 voxels of 0.9x0.9x3 mm, with skull."""
    return example_dataset / "sub-20" / "ses-2" / "anat" / "sub-20_ses-2_FLAIR.nii.gz"


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Elements that a person who cannot see the page would miss.
_UNTOLD = """() => [...document.querySelectorAll('img, svg, canvas')].filter(e => {
  if (e.closest('[aria-hidden="true"]')) return false;
  const labels = (e.getAttribute('aria-labelledby') || '').split(/\\s+/).filter(Boolean);
  const name = e.getAttribute('alt') || e.getAttribute('aria-label')
    || labels.map(id => document.getElementById(id)?.textContent).join('')
    || e.querySelector(':scope > title')?.textContent;
  return !(name || '').trim();
}).map(e => e.outerHTML.slice(0, 200))"""
_ADDRESSES = """() => [...document.querySelectorAll('[href], [src]')].map(e => e.href?.baseVal
  ?? e.href ?? e.src)"""


@dataclass
class View:
    """A page that is open in the browser.

    Attributes
    ----------
    page : playwright.sync_api.Page
        To click, type, and look: `view.page.screenshot(path=..., full_page=True)`.
    errors : list of str
        Errors and warnings of the console, exceptions of scripts.
    requests : list of str
        Addresses asked for that are not files; none was answered.
    failed : list of str
        Files asked for that could not be read.
    """

    page: object
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing went wrong, and nothing was asked of a network."""
        return not (self.errors or self.requests or self.failed)

    def pictures_without_text(self) -> list[str]:
        """Pictures that have no text alternative: beginnings of their HTML."""
        return self.page.evaluate(_UNTOLD)

    def dead_links(self) -> list[str]:
        """Links and pictures that lead to no file, to no anchor of a page, or off the disk."""
        addresses = dict.fromkeys(self.page.evaluate(_ADDRESSES))
        return [address for address in addresses if address and not _is_alive(address)]

    def barriers(self) -> list[str]:
        """What keeps people from using the page, serious by axe-core's rules, with where it is."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{rule['id']}: {', '.join(node['html'][:150] for node in rule['nodes'][:3])}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
        ]

    def overhang(self) -> int:
        """How many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def _is_alive(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme != "file":
        return parts.scheme == "data"
    path = Path(unquote(parts.path))
    if not path.exists() or not parts.fragment:
        return path.exists()
    return f'id="{unquote(parts.fragment)}"' in path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium without a window. CI installs it; elsewhere tests that need it may be skipped."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        missing = f"none of {', '.join(BROWSERS)} is installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


@pytest.fixture
def view(browser) -> Iterator[Callable[..., View]]:
    """Open a file in the browser: `view(path, width=390)`, also with `fragment`, `media="print"`.

    Nothing but files is answered; what else a page asks for is in `View.requests`.
    """
    contexts = []

    def open_page(path, width=1280, height=800, *, fragment="", media="screen", dark=False) -> View:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        seen = View(context.new_page())
        page = seen.page
        page.emulate_media(media=media)
        page.route(lambda url: not url.startswith(("file:", "data:", "blob:")), _refuse)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on(
            "console",
            lambda said: seen.errors.append(said.text) if said.type in ("error", "warning") else 0,
        )
        page.on("request", lambda asked: _note(asked, seen.requests))
        page.on("requestfailed", lambda asked: seen.failed.append(asked.url))
        page.goto(path.resolve().as_uri() + fragment)
        return seen

    yield open_page
    for context in contexts:
        context.close()


def _refuse(route) -> None:
    route.abort()


def _note(asked, requests: list[str]) -> None:
    if not asked.url.startswith(("file:", "data:", "blob:")):
        requests.append(asked.url)
