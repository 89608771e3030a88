"""The set-up cell as a student runs it: on Colab and elsewhere, with and without a network, twice."""
import json
import shutil
import site
import subprocess
import sys
import textwrap
from pathlib import Path

import book
import chapter
import pytest

CELL = chapter.setup_cell("02_general_to_specific", book.repository()[0])

# Runs the cell in an IPython shell as often as told; the last line printed is a report.
SHELL = """
import json, os, sys, time, types
from IPython.core.interactiveshell import InteractiveShell
times, colab, cell = int(sys.argv[1]), sys.argv[2] == "colab", sys.stdin.read()
if colab:
    sys.modules["google.colab"] = types.ModuleType("google.colab")
shell, runs = InteractiveShell.instance(colors="NoColor"), []
for _ in range(times):
    start = time.perf_counter()
    ok = shell.run_cell(cell, silent=False).success
    runs.append([ok, time.perf_counter() - start])
where = "tlutils" in sys.modules and os.path.realpath(sys.modules["tlutils"].__file__)
print(json.dumps({"runs": runs, "where": where, "torch": "torch" in sys.modules}))
"""

# A pip that writes its arguments down, then either copies the package of this checkout, or has no network.
PIP = """
import shutil, sys
from pathlib import Path
place = Path(__file__).parent.parent
with open(place / "calls.txt", "a") as file:
    print(*sys.argv[1:], file=file)
if {offline}:
    sys.exit("ERROR: Could not resolve host: github.com")
shutil.rmtree(place / "tlutils", ignore_errors=True)
for old in place.glob("tlutils-*.dist-info"):
    shutil.rmtree(old)
shutil.copytree({package!r}, place / "tlutils", ignore=shutil.ignore_patterns("__pycache__"))
(place / "tlutils-{version}.dist-info").mkdir()
(place / "tlutils-{version}.dist-info" / "METADATA").write_text("Name: tlutils\\nVersion: {version}\\n")
"""


class Machine:
    """A Python with all packages of this environment except tlutils and pip, and a pip of our own."""

    def __init__(self, folder: Path, offline: bool):
        self.place, self.offline = folder / "site", offline
        self.place.mkdir()
        for package in Path(site.getsitepackages()[0]).iterdir():
            if "tlutils" not in package.name and package.name.split("-")[0] != "pip" and package.suffix != ".pth":
                (self.place / package.name).symlink_to(package)
        (self.place / "pip").mkdir()
        self.working = folder / "content"
        self.working.mkdir()
        source = PIP.format(offline=offline, package=str(chapter.ROOT / "tlutils"), version=chapter.SINCE)
        (self.place / "pip" / "__main__.py").write_text(source)
        (self.place / "pip" / "__init__.py").write_text("")  # without it the pip of the environment would come first

    def hold(self, version):
        """Put an installed tlutils of this version here."""
        shutil.copytree(chapter.ROOT / "tlutils", self.place / "tlutils")
        init = self.place / "tlutils" / "__init__.py"
        init.write_text(init.read_text().replace(f'"{chapter.SINCE}"', f'"{version}"'))
        info = self.place / f"tlutils-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: tlutils\nVersion: {version}\n")

    def run(self, where, times=1, working=None):
        """Run the cell so often in one session; return (report, what was printed, the calls of pip so far)."""
        environment = {"PYTHONPATH": str(self.place), "PATH": "/usr/bin:/bin", "HOME": str(self.working),
                       "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        done = subprocess.run([sys.executable, "-S", "-c", SHELL, str(times), where], input=CELL, text=True,
                              capture_output=True, cwd=working or self.working, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        *printed, report = done.stdout.splitlines()
        calls = self.place / "calls.txt"
        return (json.loads(report), "\n".join(printed), calls.read_text().splitlines() if calls.exists() else [])


@pytest.fixture
def online(tmp_path):
    return Machine(tmp_path, offline=False)


@pytest.fixture
def offline(tmp_path):
    return Machine(tmp_path, offline=True)


def greets(printed):
    """Return whether device, scale and time were told, each with something behind it."""
    return [line.split(":")[0] for line in printed.splitlines() if len(line) > 12][-3:] == ["device", "scale", "time"]


def again(report):
    """Return the seconds of a further run in the same session, the better of two: other work may disturb one."""
    return min(seconds for _, seconds in report["runs"][1:])


def test_colab_installs_tlutils_once_and_nothing_else(online):
    report, printed, calls = online.run("colab", times=3)
    assert calls == [f"install -q --no-deps git+{book.repository()[0]}"]
    assert all(ok for ok, _ in report["runs"]) and again(report) < 1 and greets(printed)
    assert report["where"].startswith(str(online.place))
    report, printed, calls = online.run("colab")  # the session restarts, the machine stays
    assert len(calls) == 1 and report["runs"][0][0] and greets(printed)


def test_colab_without_network_stops_with_one_sentence(offline):
    report, printed, calls = offline.run("colab")
    assert len(calls) == 1 and report["runs"][0][0] is False and not report["torch"]
    assert "Traceback" not in printed
    (said,) = [line for line in printed.splitlines() if "SystemExit" in line]
    assert "No module named 'tlutils'" in said and "Check the network, then run this cell again" in said


def test_colab_that_holds_an_older_version_installs_the_newer(online):
    online.hold("0.0.9")
    report, printed, calls = online.run("colab")
    assert len(calls) == 1 and report["runs"][0][0] and greets(printed) and "note:" not in printed


def test_colab_without_network_goes_on_with_an_older_version_and_says_so(offline):
    offline.hold("0.0.9")
    report, printed, calls = offline.run("colab")
    assert len(calls) == 1 and report["runs"][0][0] and greets(printed)
    assert f"needs tlutils {chapter.SINCE}, and 0.0.9 is loaded" in printed and "restart" in printed


def test_colab_without_network_in_a_copy_of_the_book(offline):
    report, printed, _ = offline.run("colab", working=chapter.CHAPTERS)
    assert report["runs"][0][0] and greets(printed)
    assert report["where"] == str(chapter.ROOT / "tlutils" / "__init__.py")


def test_elsewhere_a_copy_of_the_book_needs_no_installation(offline):
    report, printed, calls = offline.run("desk", times=3, working=chapter.CHAPTERS)
    assert calls == [] and greets(printed) and again(report) < 1
    assert report["where"] == str(chapter.ROOT / "tlutils" / "__init__.py")


def test_elsewhere_nothing_is_installed_and_the_command_is_told(online):
    report, printed, calls = online.run("desk")
    assert calls == [] and report["runs"][0][0] is False
    assert f"%pip install git+{book.repository()[0]}" in printed


def test_the_cell_is_short_and_its_version_compares_as_text():
    lines = [line for line in CELL.splitlines() if line.strip() and not line.startswith("#")]
    wide = max(map(len, CELL.replace(book.repository()[0], "").splitlines()))  # another repository may be longer
    assert len(lines) <= 12 and wide <= 88, textwrap.indent(CELL, "  ")
    version = (chapter.ROOT / "tlutils" / "__init__.py").read_text().split('__version__ = "')[1].split('"')[0]
    for number in (version, chapter.SINCE):
        assert [len(part) for part in number.split(".")] == [1, 1, 1], f"{number}: each part stays below 10"
    assert version >= chapter.SINCE
