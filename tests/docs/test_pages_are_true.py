"""What pages name is there, and lists in them are complete."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from jobyard.client.cli import exits
from jobyard.conf import schema
from jobyard.protocol import messages, states
from jobyard.supervisor.core.transitions import mermaid

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page):
    for link in LINK.findall(text(page)):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], link


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_that_pages_name_exist(page):
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text(page))) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_tests_that_pages_name_exist(page):
    named = re.findall(r"(?:^|[ `])(tests/[\w/]*(?:\.py)?)", text(page), re.MULTILINE)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_config_page_names_every_key_and_no_other():
    section = text("docs/config.md").partition("## Sections")[2].partition("\n## ")[0]
    cells = [row.split("|")[3] for row in section.splitlines() if row.startswith("|")]
    named = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert named == set(known_keys(schema.TOP))


def known_keys(node: object) -> set[str]:
    if isinstance(node, schema.Named):
        return known_keys(node.node)
    if not isinstance(node, Mapping):
        return set()
    found: set[str] = set()
    for key in schema.keys(node):
        inner = node[key]
        is_section = node is schema.TOP and isinstance(inner, Mapping | schema.Named)
        found |= (set() if is_section else {key}) | known_keys(inner)
    return found


def test_glossary_has_every_state_and_outcome():
    glossary = text("docs/glossary.md")
    assert [word for word in (*states.STATES, *states.OUTCOMES) if f"`{word}`" not in glossary] == []


def test_changelog_has_this_version_and_its_protocol():
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    newest = re.search(r"^## (\S+).*?\n(.*?)(?=^## |\Z)", text("CHANGELOG.md"), re.MULTILINE | re.DOTALL)
    assert newest is not None and newest[1] == version
    assert f"Wire protocol {messages.PROTOCOL_VERSION}," in newest[2]


def test_dependencies_page_has_every_dependency():
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in wanted}
    assert sorted(name for name in names if name not in text("docs/dependencies.md")) == []


def test_diagram_of_states_is_the_table_of_transitions():
    diagram = re.search(r"```mermaid\n(.*?)\n```", text("ARCHITECTURE.md"), re.DOTALL)
    assert diagram is not None and diagram[1] == mermaid()


def test_guide_names_every_exit_code_and_no_other():
    section = text("docs/guide.md").split("## Exit codes\n")[1].split("\n## ")[0]
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert named == {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
