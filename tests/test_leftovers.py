"""The test setup leaves no process running, shows the output of failed tools, and passes no skip."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tests.needs import NOT_TRIED

pytestmark = pytest.mark.whole

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE = 60
#: Starts a process that loses its parent and has a session of its own, as a server does.
DAEMON = """
    import os, subprocess, sys, time

    NAP = [sys.executable, "-c", "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'a'));"
           "time.sleep(1000)"]

    def daemon(pids):
        subprocess.run(["sh", "-c", 'setsid "$@" &', "sh", *NAP, pids], check=True)
        wait(pids)

    def child(pids):
        subprocess.Popen([*NAP, pids])
        wait(pids)

    def wait(pids):
        while not os.path.exists(pids) or not os.path.getsize(pids):
            time.sleep(0.01)
"""


@pytest.fixture
def start(tmp_path):
    """Start pytest with the setup of these tests on a file with `DAEMON` and this text."""

    def start_pytest(text):
        (tmp_path / "test_inner.py").write_text(textwrap.dedent(DAEMON) + textwrap.dedent(text))
        command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
        return subprocess.Popen(
            [*command, "--rootdir", tmp_path, tmp_path / "test_inner.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start_pytest


def ended(process):
    """Wait for the end of pytest and return its status and output."""
    output, _ = process.communicate(timeout=DEADLINE)
    return process.returncode, output


def is_running(pid):
    """Whether a process runs; a zombie does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def pids_in(path):
    """The processes whose ids are in a file."""
    return [int(line) for line in path.read_text().split()]


@pytest.mark.parametrize("kind", ["daemon", "child"])
def test_a_failed_test_leaves_nothing_running(tmp_path, start, kind):
    """The processes of a failed test have ended when the next test begins."""
    status, output = ended(
        start(f"""
            def test_first(tmp_path):
                {kind}("{tmp_path}/pids")
                assert False

            def test_second():
                (pid,) = open("{tmp_path}/pids").read().split()
                try:
                    state = open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[0]
                except FileNotFoundError:
                    return
                assert state == "Z"
        """)
    )

    assert (status, "1 failed, 1 passed" in output) == (1, True), output
    assert not any(is_running(pid) for pid in pids_in(tmp_path / "pids"))


def test_a_failed_test_fails_no_other(start):
    """Files that a failed or skipped test left open do not fail another test."""
    status, output = ended(
        start("""
            import gc, pytest, socket

            def leave_open():
                opened = [socket.socket(), open("/dev/null"), subprocess.Popen(["true"])]
                opened.append(opened)
                return opened

            def test_first():
                opened = leave_open()
                assert not opened

            def test_second():
                opened = leave_open()
                pytest.skip("needs nothing")

            @pytest.mark.filterwarnings("error")
            def test_third():
                gc.collect()
        """)
    )

    assert "1 failed, 1 passed, 1 skipped" in output, output
    assert status == 1


def test_what_tests_share_goes_on(tmp_path, start):
    """The processes of a module's fixture, and their children, run until the module ends."""
    status, output = ended(
        start(f"""
            import pytest

            SHELL = "while read line; do sleep 1000 >&2 & echo $!; done"

            @pytest.fixture(scope="module")
            def shell():
                pipes = {{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}}
                with subprocess.Popen(["sh", "-c", SHELL], **pipes) as process:
                    yield process
                    process.kill()

            def test_first(shell):
                shell.stdin.write("more\\n")
                open("{tmp_path}/pids", "w").write(shell.stdout.readline())

            def test_second(shell):
                assert shell.poll() is None
                (pid,) = open("{tmp_path}/pids").read().split()
                os.kill(int(pid), 0)
                os.kill(int(pid), 9)
        """)
    )

    assert status == 0, output
    assert not any(is_running(pid) for pid in pids_in(tmp_path / "pids"))


def test_an_interrupted_run_leaves_nothing_running(tmp_path, start):
    """Ctrl-C in the middle of a test ends its processes."""
    pids = tmp_path / "pids"
    process = start(f"""
        def test_endless():
            daemon("{pids}")
            child("{pids}")
            time.sleep(1000)
    """)
    deadline = time.monotonic() + DEADLINE
    while not pids.exists() or len(pids_in(pids)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    status, output = ended(process)

    assert (status, "KeyboardInterrupt" in output) == (2, True), output
    assert not any(is_running(pid) for pid in pids_in(pids))


def test_what_a_tool_wrote_is_shown(start):
    """The captured output of a failed command is shown."""
    status, output = ended(
        start("""
            def test_tool():
                tool = ["sh", "-c", "echo what it found; echo what went wrong >&2; exit 3"]
                subprocess.run(tool, check=True, capture_output=True)
        """)
    )

    assert status == 1
    assert "\nwhat it found\n" in output
    assert "\nwhat went wrong\n" in output


def test_what_cannot_be_tried(start):
    """A test with a missing need is listed with the package that installs it, and the run does not pass."""
    status, output = ended(
        start("""
            from tests import needs

            def test_needy(monkeypatch):
                nothing = needs.Need(lambda: False, "install Debian's package nothing", "nothing")
                monkeypatch.setitem(needs.NEEDS, "nothing", nothing)
                needs.need("nothing")

            def test_other():
                pass
        """)
    )

    assert status == NOT_TRIED
    named = "not tried: test_inner.py::test_needy: needs nothing: install Debian's package nothing\n"
    assert named in output


STEP = """
import signal, sys, threading
sys.path.insert(0, "tests")
import run
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: run.INTERRUPTED.set())
step = run.Step("nap", ["sh", "-c", sys.argv[2]], live=True, limit=int(sys.argv[1]))
thread = threading.Thread(target=step.run)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("way", ["ended", "too long", "terminated"])
def test_a_step_leaves_nothing_running(way):
    """No process of a step is left when it has ended, took too long or was interrupted."""
    wait = "" if way == "ended" else "wait"
    limit = 2 if way == "too long" else 1000
    script = f"setsid sleep 1000 & echo pid $!; sleep 1000 & echo pid $!; echo begun; {wait}"
    with subprocess.Popen(
        [sys.executable, "-c", STEP, str(limit), script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        pids = []
        for line in process.stdout:
            if line.startswith("pid "):
                pids.append(int(line.split()[1]))
            elif line == "begun\n" and way == "terminated":
                process.terminate()

    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


def test_a_step_ends_no_other():
    """The end of a step ends its own processes and none of a concurrent step."""
    program = (
        "import sys; sys.path.insert(0, 'tests'); import run\n"
        "steps = [run.Step('short', ['true']), run.Step('long', ['sh', '-c', 'sleep 1; exit 5'])]\n"
        "run.in_parallel(steps)\n"
        "print([step.status for step in steps])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "[0, 5]"
