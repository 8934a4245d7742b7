"""How Sphinx builds these pages: ``make docs``.

Two things are done to a page before it is parsed. A line ``<!-- made: NAME -->`` is replaced by what ``made.py`` makes
of the program under that name. A page named in ``MIRRORED`` is a file of the checkout that is kept elsewhere; links to
such files lead to their pages here. The pages in the repository are not changed.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jobyard
from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))  # made.py
os.environ["COLUMNS"] = "100"  # argparse wraps the texts of the verbs at this width

project = "jobyard"
author = "the jobyard maintainers"
project_copyright = author
version = release = jobyard.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["conf.py", "made.py"]
html_theme = "furo"
html_title = f"jobyard {version}"
html_copy_source = False
smartquotes = False  # what programs print is shown as it is
pygments_dark_style = "monokai"

myst_heading_anchors = 4  # so that links to headings work here as they do in the repository
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True  # attributes that a docstring tells about are not listed twice
nitpicky = True  # whatever of jobyard a signature names has its place in the reference
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(collections\.abc|datetime|os|pathlib|typing)\..*|datetime|Path|AbstractContextManager",
    ),  # Python's own
    ("py:.*", r"(.*\.)?(P|R|T|R_co|Duration|Since|Handle)"),  # type variables; aliases; what Job and AsyncJob share
]
suppress_warnings = ["myst.xref_ambiguous"]

MIRRORED = {
    "readme": "README.md",
    "security-policy": "SECURITY.md",
    "changes": "CHANGELOG.md",
    "reference/protocol": "protocol/README.md",
}
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_MADE = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)


def fill(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put in what is made or kept elsewhere, and turn links to what is kept elsewhere."""
    import made

    origin = MIRRORED.get(page, f"docs/{page}.md")
    text = (ROOT / origin).read_text(encoding="utf-8")
    text = _MADE.sub(lambda found: getattr(made, found[1])(), text)
    source[0] = _LINK.sub(lambda found: f"]({_turned(found[1], origin, page)}{found[2] or ''})", text)


def _turned(link: str, origin: str, page: str) -> str:
    """A link in the file ``origin``, as it must be in ``page``: to a page, or to a file that is read as it is."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    pages = {kept: f"docs/{name}.md" for name, kept in MIRRORED.items()}
    path = posixpath.relpath(pages.get(target, target), posixpath.dirname(f"docs/{page}"))
    return path if target in pages or target.startswith("docs/") else f"path:{path}"


def setup(app: Sphinx) -> None:
    for language in ("mermaid", "hex"):
        app.add_lexer(language, TextLexer)
    app.connect("source-read", fill)
