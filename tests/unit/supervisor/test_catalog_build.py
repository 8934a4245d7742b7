"""The builder as a real process over modules of every kind, the hostile ones above all."""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobyard.conf.catalog import Built
from jobyard.protocol.messages import CatalogEntry, Parameter
from jobyard.supervisor import clock
from jobyard.supervisor.catalog_build import CatalogBuild
from jobyard.supervisor.executors import orphans
from jobyard.supervisor.executors.base import PoolSpec

Build = Callable[..., Built]


def finish(build: CatalogBuild, limit_s: float = 30.0) -> Built:
    """Do what the supervisor's loop does: poll when readable and at the deadline."""
    end = time.monotonic() + limit_s
    while (built := build.poll()) is None:
        assert time.monotonic() < end, "the build did not end"
        select.select([build.fileno()], [], [], max(0.0, min(build.deadline - clock.now().boot, limit_s)))
    return built


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is free for a look at the processes that there are."""

    def refuse(*args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(orphans._own, "started", {})
    for name in ("start_time", "children_of"):
        monkeypatch.setattr(orphans, name, refuse)


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Write modules and start a build of them; whatever is left is closed."""
    started: list[CatalogBuild] = []

    def begin(
        modules: dict[str, str], *allow: str, timeout_s: float = 20.0, whole_s: float = 600.0, **spec: Any
    ) -> CatalogBuild:
        for name, text in modules.items():
            path = tmp_path / (name.replace(".", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        given: dict[str, Any] = {
            "name": "default",
            "python": sys.executable,
            "cwd": str(tmp_path),
            "path": [str(tmp_path)],
            "env": {key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            "allow": list(allow),
            "runtime_dir": "",
            "output_dir": "",
        }
        started.append(CatalogBuild(PoolSpec(**{**given, **spec}), timeout_s, whole_s))
        return started[-1]

    yield begin
    for build in started:
        build.close()


@pytest.fixture
def build(start: Any) -> Build:
    return lambda *args, **kwargs: finish(start(*args, **kwargs))


def refs(built: Built) -> list[str]:
    return [entry.ref for entry in built.entries]


def why(built: Built) -> dict[str, str]:
    return {problem.what: problem.why for problem in built.problems}


def test_entry_tells_all_of_a_function(build: Build, tmp_path: Path) -> None:
    text = '''
import datetime

def report(month: str, /, pages: "list[int]", *rest, day: datetime.date = None, how=object(), **more) -> int:
    """Write the report.

    Nothing of this.
    """
'''
    built = build({"app": text}, "app:report")
    assert built.problems == []
    assert built.entries == [
        CatalogEntry(
            ref="app:report",
            pool="default",
            parameters=[
                Parameter("month", "positional", True, "str"),
                Parameter("pages", "either", True, "list[int]"),
                Parameter("rest", "args", False),
                Parameter("day", "named", False, "datetime.date", "None"),
                Parameter("how", "named", False, None, "<object>"),
                Parameter("more", "kwargs", False),
            ],
            doc="Write the report.",
            file=str(tmp_path / "app.py"),
            line=4,
            module_file=str(tmp_path / "app.py"),
        )
    ]


def test_build_ends_where_no_descriptor_is_free_for_a_look_at_what_it_has_left(full: None, build: Build) -> None:
    assert refs(build({"app": "def report(): ..."}, "app:report")) == ["app:report"]


def test_star_means_public_functions_defined_in_the_module(build: Build) -> None:
    text = """
import functools
from os.path import join
from other import helper
class Thing:
    def __call__(self): ...
thing = Thing()
number = 3
def public(): ...
async def later(): ...
def _private(): ...
@functools.lru_cache
def cached(): ...
@functools.wraps(public)
def wrapped(*args): ...
again = functools.partial(public)
"""
    built = build({"app": text, "other": "def helper(): ..."}, "app:*")
    assert refs(built) == ["app:public", "app:later", "app:cached", "app:wrapped"]
    assert [entry.is_async for entry in built.entries] == [False, True, False, False]
    assert built.problems == []


def test_named_functions_need_not_be_public_or_defined_there(build: Build) -> None:
    assert refs(build({"app": "from os import getcwd\ndef _hidden(): ..."}, "app:_hidden", "app:getcwd")) == [
        "app:_hidden",
        "app:getcwd",
    ]


def test_methods_are_described_without_self(build: Build) -> None:
    text = """
class Base:
    def inherited(self, x): ...
class Job(Base):
    constant = 1
    def plain(self, a): ...
    @classmethod
    def made(cls, b): ...
    @staticmethod
    def loose(c): ...
    @property
    def shown(self): ...
    async def later(self): ...
    def _hidden(self): ...
    class Inner: ...
"""
    built = build({"app": text}, "app:Job.*", "app:Job._hidden")
    described = {entry.ref: [parameter.name for parameter in entry.parameters] for entry in built.entries}
    assert described == {
        "app:Job.inherited": ["x"],
        "app:Job.later": [],
        "app:Job.loose": ["c"],
        "app:Job.made": ["b"],
        "app:Job.plain": ["a"],
        "app:Job._hidden": [],
    }
    assert next(entry for entry in built.entries if entry.ref == "app:Job.later").is_async


def test_helpers_of_the_base_class_are_no_jobs(build: Build) -> None:
    text = "from jobyard.client.context import BaseJob\nclass Job(BaseJob):\n    def run(self): ..."
    assert refs(build({"app": text}, "app:Job.*")) == ["app:Job.run"]


def test_options_stored_by_task_are_reported(build: Build) -> None:
    text = "def f(): ...\nf.__jobyard_options__ = {'queue': 'mail', 'retry': {'delay': [1.0, 2.0]}}"
    assert build({"app": text}, "app:f").entries[0].options == {"queue": "mail", "retry": {"delay": [1.0, 2.0]}}


def test_tasks_are_described_like_the_functions_they_are(build: Build) -> None:
    text = """
from jobyard import Retry, task
@task(queue="mail", timeout="5m", retry=Retry(max_attempts=2, on=[ValueError]))
def send(to: str): ...
@task
async def fetch(url): ...
"""
    send, fetch = build({"app": text}, "app:*").entries
    assert send.parameters == [Parameter("to", "either", True, "str")]
    assert (send.options["queue"], send.options["timeout"]) == ("mail", 300.0)
    assert (send.options["retry"]["max_attempts"], send.options["retry"]["on"]) == (2, ["ValueError"])
    assert fetch.is_async
    assert fetch.options == {}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("def f():\n    yield 1", "f", "it is a generator"),
        ("async def f():\n    yield 1", "f", "it is a generator"),
        ("f = 3", "f", "it is an int, which cannot be called"),
        ("class f: ...", "f", 'it is a class: allow "app:f.METHOD"'),
        ("def good(): ...", "god", "app has no 'god'; did you mean 'good'?"),
        ("class C:\n    def run(self): ...", "C.rum", "app:C has no 'rum'; did you mean 'run'?"),
        ("def C(): ...", "C.run", "app:C is not a class"),
        (
            "class C:\n    def __init__(self, dsn, *, x): ...\n    def run(self): ...",
            "C.run",
            "arguments to be built: dsn, x",
        ),
        (
            "import abc\nclass C(abc.ABC):\n    @abc.abstractmethod\n    def run(self): ...",
            "C.run",
            "its class is abstract: run",
        ),
        ("class C:\n    def run(): ...", "C.run", "it takes no parameter for self"),
        ("x = 1", "*", "app defines no public function"),
        ("class C: ...", "*", "app defines no public function; its classes are allowed one by one, as in app:C.*"),
        ("class C:\n    x = 1", "C.*", "app:C has no public method"),
        (
            "def f(): ...\nf.__jobyard_options__ = {'queue': {1, 2}}",
            "f",
            "the options that @task stored on it were changed",
        ),
        (
            "def __getattr__(name):\n    raise RuntimeError('no ' + name)",
            "f",
            "cannot be described: RuntimeError: no f",
        ),
    ],
)
def test_what_cannot_be_a_job_says_why(build: Build, text: str, name: str, expected: str) -> None:
    built = build({"app": text}, f"app:{name}")
    assert built.entries == []
    assert expected in why(built)[f"app:{name}"]


BROKEN = {
    "raises": ("x = 1\nraise ValueError('no\\x1b[31m good')", "ValueError: no\x1b[31m good (PATH/raises.py:2)"),
    "lacks": ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it' (PATH/lacks.py:1)"),
    "inner": ("import helper", "ZeroDivisionError: division by zero (PATH/helper.py:2)"),
    "syntax": ("def f(:", "SyntaxError: invalid syntax (PATH/syntax.py:1)"),
    "leaves": ("import sys\nsys.exit('bye')", "it called sys.exit('bye') (PATH/leaves.py:2)"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt (PATH/interrupts.py:1)"),
    "mute": ("class E(Exception):\n    def __str__(self): raise self\nraise E", "its message cannot be read"),
    "surrogate": ("raise ValueError('\\ud800')", "ValueError: \\ud800"),
    "long": ("raise ValueError('x' * 10_000_000)", "xxx..."),
    "absent": (None, "ModuleNotFoundError: No module named 'absent'; looked in PATH and where this interpreter"),
    "ends": ("import os\nos._exit(7)", "it ended the process with exit code 7"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "it ended the process with SIGSEGV (PATH/crashes.py:2)"),
    "kills": ("import os\nos.kill(os.getpid(), 9)", "it ended the process with SIGKILL"),
    "signals": ("import os, signal\nos.kill(0, signal.SIGRTMIN + 3)", "it ended the process with signal 37"),
    "closes": ("import os\nos.closerange(3, 1000)\ndef f(): ...", "it ended the process with exit code 1"),
}


def test_module_that_fails_is_named_and_the_others_go_on(build: Build, tmp_path: Path) -> None:
    modules = {name: text for name, (text, _) in BROKEN.items() if text is not None}
    modules |= {"first": "def f(): ...", "last": "def f(): ...", "helper": "\n1 / 0"}
    built = build(modules, "first:*", *(f"{name}:*" for name in BROKEN), *(f"{name}:f" for name in BROKEN), "last:*")
    assert refs(built) == ["first:f", "last:f"]
    found = why(built)
    assert len(found) == 2 * len(BROKEN)
    for name, (_, expected) in BROKEN.items():
        assert found[f"{name}:f"] == found[f"{name}:*"]
        assert found[f"{name}:f"].startswith(f"{name} failed to import: ")
        assert expected.replace("PATH", str(tmp_path)) in found[f"{name}:f"]
        assert len(found[f"{name}:f"]) < 2500


def tell(path: Path, pid: str) -> str:
    """A line of a module that writes a pid to the pipe at ``path``."""
    return f"open({str(path)!r}, 'w').write(str({pid}))"


def told(path: Path) -> int:
    """The pid that a module writes; blocks until then."""
    return int(path.read_text())


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pid")
    return tmp_path / "pid"


def test_module_that_hangs_is_stopped_with_all_it_started_and_the_others_go_on(
    start: Any, tmp_path: Path, pipe: Path
) -> None:
    text = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
{tell(pipe, "child.pid")}
time.sleep(600)
"""
    build = start({"hangs": text, "good": "def f(): ..."}, "hangs:*", "good:*", timeout_s=3.0)
    child = os.pidfd_open(told(pipe))
    built = finish(build)
    assert refs(built) == ["good:f"]
    assert why(built)["hangs:*"] == f"hangs failed to import: it took over 3 s ({tmp_path}/hangs.py:6)"
    ended, _, _ = select.select([child], [], [], 10)
    os.close(child)
    assert ended, "a process that the module started is still there"


def test_module_that_stops_itself_is_killed(build: Build) -> None:
    text = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    assert "it took over 1 s" in why(build({"stops": text}, "stops:*", timeout_s=1.0))["stops:*"]


def test_imports_that_are_each_in_time_are_bounded_in_all(build: Build) -> None:
    """Here one module finds the way to the report, and says again and again that it is the next one."""
    text = """
import json, os, time
fds = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
while True:
    for fd in fds:
        try:
            os.write(fd, b'{"module": "another"}\\n')
        except OSError:
            pass
    time.sleep(0.1)
"""
    built = build({"goes_on": text}, "goes_on:*", timeout_s=1.0, whole_s=3.0)
    assert why(built) == {
        "pool default": "the catalogue could not be built: its imports took over 3 s in all; the last one was another"
    }


def test_restarts_after_modules_that_end_the_process_are_bounded_in_all(build: Build) -> None:
    modules = {f"ends{number}": "import os, time\ntime.sleep(0.5)\nos._exit(3)" for number in range(20)}
    built = build(modules, *(f"{name}:*" for name in modules), whole_s=2.0)
    assert "took over 2 s in all" in why(built)["pool default"]


def test_what_modules_print_does_not_reach_the_report(build: Build) -> None:
    text = """
import os, sys, subprocess
print('{"entries": [], "problems": []}')
os.write(1, b'{"entries": [], "problems": []}\\n')
print("x" * 1_000_000, file=sys.stderr)
subprocess.run(["echo", '{"entries": []}'])
assert sys.stdin.read() == ""
def f(): ...
"""
    assert refs(build({"prints": text}, "prints:*")) == ["prints:f"]


def test_module_that_never_stops_printing_does_not_hold_up_the_loop(start: Any) -> None:
    build = start({"prints": "while True: print('x' * 10_000)"}, "prints:*", timeout_s=2.0)
    looks = 0
    while build.poll() is None and looks < 100_000:
        looks += 1
        select.select([build.fileno()], [], [], max(0.0, min(build.deadline - clock.now().boot, 1.0)))
    assert looks > 1
    assert "it took over 2 s" in build.poll().problems[0].why


def test_thread_that_a_module_started_does_not_keep_the_builder(build: Build) -> None:
    text = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\ndef f(): ..."
    assert refs(build({"threads": text}, "threads:*")) == ["threads:f"]


def test_descriptor_kept_open_by_a_stray_process_does_not_keep_the_build(build: Build) -> None:
    text = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(5)\n    os._exit(0)\ndef f(): ..."
    begin = time.monotonic()
    assert refs(build({"forks": text}, "forks:*")) == ["forks:f"]
    assert time.monotonic() - begin < 5


SPEAK = """
import os
def say(data):
    for fd in range(3, 20):
        try:
            os.write(fd, data)
        except OSError:
            pass
def f(): ...
"""


@pytest.mark.parametrize(
    "entry",
    [
        '{"ref": "os:system", "parameters": []}',
        "3",
        '{"ref": 7, "parameters": []}',
        '{"ref": "app:f"}',
        '{"ref": "app:f", "parameters": [], "module_file": "a\\u0000b"}',
        '{"ref": "app:f", "parameters": [], "line": 99999999999999999999}',
        f'{{"ref": "app:f", "parameters": [], "options": {{"queue": {"[" * 200}{"]" * 200}}}}}',
    ],
)
def test_forged_report_is_refused(build: Build, entry: str) -> None:
    line = f'{{"entries": [{entry}], "problems": []}}\n'
    built = build({"app": f"{SPEAK}\nsay({line.encode()!r})"}, "app:*")
    assert built.entries == []
    assert "the catalogue could not be read" in why(built)["pool default"]


def test_text_of_a_report_that_has_no_form_in_utf8_is_shown_with_escapes(build: Build) -> None:
    """Such a path cannot even be asked about."""
    line = '{"entries": [{"ref": "app:f", "parameters": [], "module_file": "a\\ud800"}], "problems": []}\n'
    (entry,) = build({"app": f"{SPEAK}\nsay({line.encode()!r})"}, "app:*").entries
    assert entry.module_file == "a\\ud800"


def test_noise_in_the_report_is_passed_over(build: Build) -> None:
    noise = b'\xff\n[1]\n{"x": 1}\n3\n'
    assert refs(build({"app": f"{SPEAK}\nsay({noise!r})"}, "app:f")) == ["app:f"]


def test_endless_report_is_cut_off(build: Build) -> None:
    built = build({"floods": f"{SPEAK}\nwhile True: say(b'x' * 60_000)"}, "floods:*")
    assert "its description is over" in why(built)["floods:*"]


def test_setup_runs_first_and_once_for_all_modules(build: Build) -> None:
    modules = {
        "config": "READY = []\ndef setup(): READY.append(1)",
        "app": "import config\nassert config.READY == [1]\ndef f(): ...",
    }
    assert refs(build(modules, "app:*", setup="config:setup")) == ["app:f"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("raise RuntimeError('not configured')", "setup failed: RuntimeError: not configured (PATH/config.py:1)"),
        ("import os; os._exit(3)", "setup = 'config:setup' failed: it ended the process with exit code 3"),
    ],
)
def test_setup_that_fails_leaves_nothing(build: Build, tmp_path: Path, body: str, expected: str) -> None:
    modules = {"config": f"def setup(): {body}", "app": "def f(): ..."}
    built = build(modules, "app:*", setup="config:setup")
    assert built.entries == []
    assert [problem.why for problem in built.problems] == [expected.replace("PATH", str(tmp_path))]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"python": "/no/such/python"}, "/no/such/python cannot be started"),
        ({"cwd": "/no/such/directory"}, "cannot be started in /no/such/directory"),
        ({"python": "/bin/false"}, "the catalogue could not be built: it ended the process with exit code 1"),
    ],
)
def test_interpreter_that_cannot_run_is_a_problem_of_the_pool(
    build: Build, spec: dict[str, str], expected: str
) -> None:
    built = build({}, "app:*", **spec)
    assert expected in why(built)["pool default"]


def test_interpreter_without_jobyard_says_how_to_install_it(build: Build, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f"#!/bin/sh\nexec {sys.executable} -S -I -c 'import sys; sys.exit(\"No module named jobyard\")'\n")
    bare.chmod(0o755)
    assert f"try: {bare} -m pip install jobyard" in why(build({}, "app:*", python=str(bare)))["pool default"]


def test_environment_and_directory_are_those_of_the_pool(build: Build, tmp_path: Path) -> None:
    text = f"import os\nassert os.environ['MARK'] == '1'\nassert os.getcwd() == {str(tmp_path)!r}\ndef f(): ..."
    assert refs(build({"app": text}, "app:*", env={**os.environ, "MARK": "1"})) == ["app:f"]


def test_closing_early_leaves_neither_process_nor_descriptors(start: Any, pipe: Path) -> None:
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    build = start({"waits": f"import os, time\n{tell(pipe, 'os.getpid()')}\ntime.sleep(600)"}, "waits:*")
    pid = told(pipe)
    assert build.poll() is None
    build.close()
    build.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not Path(f"/proc/{pid}").exists()


def test_finished_build_leaves_no_descriptors(start: Any) -> None:
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    finish(start({"ends": "import os\nos._exit(1)", "app": "def f(): ..."}, "ends:*", "app:*"))
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_signal_from_outside_is_told(start: Any, pipe: Path) -> None:
    build = start({"waits": f"import os, time\n{tell(pipe, 'os.getpid()')}\ntime.sleep(600)"}, "waits:*")
    os.kill(told(pipe), signal.SIGKILL)
    assert "it ended the process with SIGKILL" in finish(build).problems[0].why


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"module": {}}', '{"module": []}', '{"setup": 5}', '{"entries": [7]}']
)
def test_line_that_a_module_forges_is_no_fault_of_the_supervisor(build: Build, line: str) -> None:
    forger = f"""import os
for fd in range(3, 32):
    try: os.write(fd, {line!r}.encode() + b'\\n')
    except OSError: pass
os._exit(3)
"""
    built = build({"forger": forger}, "forger:*")
    assert refs(built) == [] and len(built.problems) == 1


def test_module_that_names_ever_new_ones_is_given_up(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.supervisor.catalog_build._SKIPPED_MAX", 2)
    forger = """import os
for fd in range(3, 32):
    try: os.write(fd, b'{"module": "m%d"}\\n' % os.getpid())
    except OSError: pass
os._exit(3)
"""
    built = build({"forger": forger}, "forger:*")
    assert "could not be built" in built.problems[0].why
