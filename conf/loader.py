"""Read the config: files, overlays, variables and flags in, ``Settings`` or a full list of mistakes out.

Owns the order in which layers win. Where the file is, ``find.py`` knows; reading is in ``sources.py``, judging in
``check.py`` and ``build.py``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..protocol import options
from ..protocol.errors import InvalidConfig
from ..protocol.ids import is_name
from ..protocol.plain import dataclass
from . import build, show
from .check import DECLARED, Items, Problems, Where, check, dotted, merge
from .kinds import show as show_value
from .settings import Settings
from .sources import Files, flags, variables

DEFAULT_ENV = "local"


@dataclass(frozen=True)
class Loaded:
    """A config as read.

    Attributes:
        origins: for every key path in use "file:line", "environment JOBYARD__...", "--set" or "default".
        warnings: lines for the user; nothing that keeps the config from working.
    """

    settings: Settings
    origins: dict[str, str]
    warnings: list[str]


def load(
    path: Path, *, environ: Mapping[str, str], env_name: str | None = None, overrides: Sequence[str] = ()
) -> Loaded:
    """Read the config file at ``path`` with all that goes on top of it.

    Args:
        environ: where ``JOBYARD_ENV`` and ``JOBYARD__SECTION__KEY`` are looked up.
        env_name: the overlay ``[env.NAME]`` to use; None takes ``JOBYARD_ENV``, else "local", which need not be there.
        overrides: ``key.path=value`` of each ``--set``.

    Raises:
        InvalidConfig: ``details["problems"]`` lists every mistake as ``file:line:col: error: ...``.
    """
    path = Path(os.path.realpath(path))
    problems = Problems()
    files = Files(path, problems)
    env = _env_name(environ, env_name, files, problems)
    items = build.join_retries(_items(files, env, environ, overrides, problems), problems)
    if files.whole:
        build.cross_check(path, items, problems)
    if problems.found:
        raise _invalid(problems.lines())
    settings = build.build(path, env, items)
    return Loaded(settings, _origins(settings, items), _warnings(path))


def salvage(
    path: Path, *, environ: Mapping[str, str], env_name: str | None = None, overrides: Sequence[str] = ()
) -> Settings | None:
    """What a config with mistakes still says of where its supervisor is: ``[supervisor]``, and nothing else of it.

    One that runs goes on with the config that it has read, and whoever is to stop it has to find it.

    Returns:
        None where a mistake is not in a file but in what goes on top: that could mean another supervisor.
    """
    path = Path(os.path.realpath(path))
    problems = Problems()
    files = Files(path, problems, salvaging=True)
    env = _env_name(environ, env_name, files, problems)
    items = _items(files, env, environ, overrides, problems)
    if env not in {*files.overlays, DEFAULT_ENV} or any(where.order >= files.count for where, _ in problems.found):
        return None
    return build.build_places(path, env, items)


def _items(files: Files, env: str, environ: Mapping[str, str], overrides: Sequence[str], problems: Problems) -> Items:
    """All settings that are right, of all layers in force."""
    in_force, others = files.layers(env)
    for layer in others:
        check(layer, problems)
    checked = [(layer, check(layer, problems)) for layer in in_force]
    late = variables(environ, merge(checked), files.count) + flags(overrides, problems, files.count + 1)
    return merge([*checked, *((layer, check(layer, problems)) for layer in late)])


def _env_name(environ: Mapping[str, str], given: str | None, files: Files, problems: Problems) -> str:
    name = given or environ.get("JOBYARD_ENV") or DEFAULT_ENV
    place = Where(0, 0, 0, "--env" if given else "environment JOBYARD_ENV")
    if not is_name(name):
        problems.add(place, f"{show_value(name)} is not a name", "use letters, digits, '.', '_' and '-'")
    elif files.whole and name not in {*files.overlays, DEFAULT_ENV}:
        hint = options.nearest_hint(name, {*files.overlays, DEFAULT_ENV})
        problems.add(place, f"there is no section [env.{name}]", hint)
    return name


def _origins(settings: Settings, items: Items) -> dict[str, str]:
    given = {dotted(path): item.where.origin for path, item in items.items() if item.value is not DECLARED}
    return {key: given.get(key, "default") for key in show.values(settings)}


def _warnings(path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode
    except OSError:  # it was there when it was read; an editor may be about to put another in its place
        return []
    if mode & stat.S_IWOTH:
        return [f"every user of this machine may change {path}, and so run anything (try: chmod o-w {path})"]
    return []


def _invalid(problems: list[str], hint: str = "") -> InvalidConfig:
    message = problems[0] if len(problems) == 1 else f"the config has {len(problems)} mistakes:\n" + "\n".join(problems)
    return InvalidConfig(message, hint=hint, details={"problems": problems})
