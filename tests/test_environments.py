"""Other versions than the book's: what each environment holds, what an installation may change, claims that differ."""
import copy
import json
import os
import re
import subprocess
import sys

import chapter
import environments
import normalise
import pytest


def claims(*texts):
    """Return a notebook with one claim cell that prints each text, and a cell whose output nobody compares."""
    cells = [{"cell_type": "code", "source": f"print({text!r})", "metadata": {"tags": ["nbval-check-output"]},
              "execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": text + "\n"}]}
             for text in texts]
    free = {"cell_type": "code", "source": "import random\nprint(random.random())", "metadata": {},
            "execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": "0.5\n"}]}
    return {"cells": [*cells, free], "metadata": normalise.METADATA, "nbformat": 4, "nbformat_minor": 4}


def test_the_oldest_are_the_lower_bounds_and_the_newest_have_none(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\ndependencies = [\n    "torch>=2.6",\n    "scikit-learn>=1.4",\n]\n')
    assert environments.requirements("oldest", file) == ["torch==2.6", "scikit-learn==1.4", "ipykernel", "pip"]
    assert environments.requirements("newest", file) == ["torch", "scikit-learn", "ipykernel", "pip"]
    named = environments.requirements("oldest")
    text = (chapter.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(named) - 2 == len(re.findall(r'^    "[^"]+",$', text.split("dependencies = [")[1].split("]")[0], re.M))


def test_colab_is_pinned_exactly_and_named_in_full():
    pins = environments.requirements("colab")
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", pin) for pin in pins) and len(set(pins)) == len(pins)
    bounds = {pin.split("==")[0] for pin in environments.requirements("oldest")}
    assert bounds <= {pin.split("==")[0] for pin in pins}
    assert {"ipython==7.34.0", "ipywidgets==7.7.1", "numpy==2.1.3", "torch==2.11.0"} <= set(pins)


def test_a_changed_package_is_told_and_the_package_itself_is_not():
    before = {"numpy": "2.1.3", "torch": "2.11.0"}
    assert environments.changes(before, before | {"tlutils": "0.1.0"}) == []
    assert environments.changes(before, {"numpy": "2.4.0", "torch": "2.11.0", "comm": "1"}) == [
        "comm: absent -> 1", "numpy: 2.1.3 -> 2.4.0"]
    assert environments.freeze(sys.executable)["scikit-learn"]


def test_a_claim_that_prints_something_else_is_a_fault():
    stored, executed = claims("holds: a", "holds: b"), claims("holds: a", "DOES NOT HOLD: b")
    assert environments.compare(stored, copy.deepcopy(stored)) == (2, [])
    count, different = environments.compare(stored, executed)
    assert count == 2 and different[-2:] == ["-holds: b", "+DOES NOT HOLD: b"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Make this Python the kernel that is tested."""
    for name, value in environments.kernel(sys.executable, tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_executing_compares_claims_only_and_tells_what_failed(here):
    path = here / "07_made_up.ipynb"
    path.write_text(json.dumps(claims("holds: a")))
    line, faults = environments.execute(path, here)
    assert re.fullmatch(r"07_made_up: \d+\.\d min, 1 claim cells, 0 warnings", line) and faults == []
    wrong = claims("holds: a")
    wrong["cells"][0]["source"] = "import sys\nprint('a line of warning', file=sys.stderr)\nprint('holds: z')"
    path.write_text(json.dumps(wrong))
    line, faults = environments.execute(path, here)
    assert "1 warnings\n  a line of warning" in line and faults[-1] == "+holds: z"
    wrong["cells"][0]["source"] = "import a_package_that_is_not_there"
    path.write_text(json.dumps(wrong))
    line, (fault,) = environments.execute(path, here)
    assert line == "07_made_up: failed" and "a_package_that_is_not_there" in fault


def test_the_emulation_is_a_colab_whose_git_finds_this_checkout(tmp_path):
    url = "https://github.com/someone/a-book"
    subprocess.run(["git", "init", "-q", tmp_path / "clone"], check=True)
    variables = environments.emulate_colab(tmp_path, url, tmp_path / "clone")
    environment = os.environ | variables
    code = "import sys; print('google.colab' in sys.modules)"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert shown.strip() == "True"
    assert subprocess.run(["git", "ls-remote", url], env=environment, capture_output=True).returncode == 0


def test_a_python_is_found_and_works():
    for name in environments.PYTHONS:
        assert environments.works(environments.find_python(name))
    assert not environments.works(str(chapter.ROOT / "README.md")) and not environments.works("no-such-python")


def test_a_chapter_that_is_not_there_is_told_before_an_environment_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "make", lambda *words: pytest.fail("an environment was made"))
    with pytest.raises(SystemExit, match="CH must be the number of one chapter, got '99'"):
        environments.main("colab", ["02", "99"], tmp_path)
    monkeypatch.setattr(chapter, "find", lambda number: tmp_path / "05_cut.ipynb")
    (tmp_path / "05_cut.ipynb").write_text('{"cells": [')
    with pytest.raises(SystemExit, match="05_cut.ipynb is damaged"):
        environments.main("colab", ["05"], tmp_path)


def test_chapters_can_be_named_after_the_folder_as_make_does():
    words = environments.parse(["oldest", "--at", "somewhere", "02", "12"])
    assert (words.name, words.at, words.chapters) == ("oldest", "somewhere", ["02", "12"])
    recipe = (chapter.ROOT / "Makefile").read_text(encoding="utf-8")
    assert recipe.count('tools/environments.py oldest --at "$$ENVIRONMENTS" $$CH') == 1
