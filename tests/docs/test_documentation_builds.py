"""The documentation is built as a whole, with warnings as errors; what is made from the program is in it."""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path

import jobyard
import pytest
from jobyard.client.cli import schemas, verbs
from jobyard.protocol import errors, notices, states

DOCS = Path(__file__).parents[2] / "docs"
BUILD_S = 100


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-P", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(target)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
    assert built.returncode == 0, built.stderr
    return target


def text(site: Path, page: str) -> str:
    return html.unescape((site / f"{page}.html").read_text(encoding="utf-8"))


def test_every_page_is_built_and_nothing_is_left_to_be_made(site):
    pages = [page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.glob("**/*.md")]
    assert [page for page in pages if "<!-- made" in text(site, page)] == []


def test_every_page_says_for_whom_it_is():
    texts = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in DOCS.glob("**/*.md")}
    kept_elsewhere = {name for name, text in texts.items() if "\nThis page is [" in text}
    silent = {name for name, text in texts.items() if not text.split("\n\n")[1].startswith("For those who ")}
    assert silent == {"index.md"} | kept_elsewhere


def test_reference_has_every_verb(site):
    page = text(site, "reference/cli")
    assert [name for name in verbs.VERBS if f'id="jobctl-{name.replace(" ", "-")}"' not in page] == []


def test_reference_has_every_public_name(site):
    pages = text(site, "reference/api") + text(site, "reference/errors")
    assert [name for name in jobyard.__all__ if f'id="jobyard.{name}"' not in pages] == []


def test_reference_has_every_error_event_and_json_document(site):
    codes, kinds = text(site, "reference/errors"), text(site, "reference/events")
    documents = text(site, "reference/json")
    assert [code for code, cls in errors.BY_CODE.items() if hasattr(jobyard, cls.__name__) and code not in codes] == []
    assert [kind for kind in (*notices.KINDS, notices.TRUNCATED) if f">{kind}<" not in kinds] == []
    assert [name for name in schemas.names() if f'id="{name}"' not in documents] == []


def test_page_of_states_has_every_state_and_outcome(site):
    page = text(site, "states")
    assert [word for word in (*states.STATES, *states.OUTCOMES) if f">{word}<" not in page] == []
