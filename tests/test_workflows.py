"""Workflows, Binder, container: what they name exists, they hold no rights that they do not need, versions agree."""
import json
import re
import shlex

import book
import preflight
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = book.ROOT
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
DOCKER = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def read(path):
    """Return a workflow; YAML reads the key `on` as true."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in workflow.items()}


def steps(workflow):
    """Return the steps of all jobs; a job that is another workflow has none of its own."""
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def deploys(job):
    """Return whether a job publishes the site."""
    return any("deploy-pages" in step.get("uses", "") for step in job.get("steps", []))


def untested(site, tests):
    """Return the reasons for which the workflow `site` may publish what did not pass the workflow `tests`."""
    reasons = []
    green = {name for name, job in site["jobs"].items() if job.get("uses") == "./.github/workflows/tests.yml"}
    for name, job in site["jobs"].items():
        if deploys(job):
            needed = {job["needs"]} if isinstance(job.get("needs"), str) else set(job.get("needs", []))
            reasons += [] if needed & green else [f"{name} does not wait for the tests"]
            reasons += [f"{name} runs under a condition of its own"] if "if" in job else []
    reasons += [f"{name} may be passed over" for name in green if set(site["jobs"][name]) != {"uses"}]
    runs = [job for job in tests["jobs"].values() if any(step.get("run") == ".ci/run" for step in job["steps"])]
    reasons += [] if runs else ["the tests do not run .ci/run"]
    for job in (*tests["jobs"].values(), *steps(tests)):
        reasons += [f"a failure is passed over: {key}" for key in ("continue-on-error", "if") if key in job]
    return reasons


def targets():
    """Return the targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.search(r"^\.PHONY: (.*)$", makefile, re.M).group(1).split())


def made(text):
    """Return the targets that commands ask make for; a target from a matrix is left out."""
    return set(re.findall(r"\bmake ([a-z-]+)", text))


def pythons(job):
    """Return the versions of Python that a job names, in its steps and its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    named = [str(step.get("with", {}).get("python-version", "")) for step in job.get("steps", [])]
    return set(re.findall(r"\b3\.\d+", " ".join([*named, str(matrix)])))


def test_there_are_tests_a_site_and_a_weekly_check():
    found = {path.stem: read(path) for path in WORKFLOWS}
    assert set(found) == {"tests", "site", "weekly"}
    assert set(found["tests"]["on"]) == {"pull_request", "workflow_call"} and ".ci/run" in str(steps(found["tests"]))
    assert (ROOT / ".ci" / "run").exists() and "make book" in str(steps(found["site"]))
    assert re.fullmatch(r"\d+ \d+ \* \* \d", found["weekly"]["on"]["schedule"][0]["cron"])
    matrix = found["weekly"]["jobs"]["check"]["strategy"]["matrix"]["include"]
    assert {row["target"] for row in matrix} == {"test-colab", "test-oldest", "test-newest", "linkcheck"} <= targets()


@every_workflow
def test_a_workflow_asks_make_for_what_there_is(path):
    assert made(path.read_text(encoding="utf-8").split("jobs:")[1].replace("${{ matrix.target }}", "")) <= targets()


@every_workflow
def test_a_workflow_takes_only_first_hand_actions_of_one_major_version_and_ends(path):
    workflow = read(path)
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step), step
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v5")), step
    assert all(5 <= job["timeout-minutes"] <= 120 for job in workflow["jobs"].values() if "steps" in job)
    for job in workflow["jobs"].values():  # without steps it is one of these workflows, which has its own
        assert "steps" in job or (ROOT / job["uses"]) in WORKFLOWS, job


@every_workflow
def test_a_workflow_has_no_right_that_it_does_not_need(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job.get("permissions") == ({"pages": "write", "id-token": "write"} if deploys(job) else None)
        assert "secrets." not in str(job)
        assert not re.search(r"\$\{\{ *github\.event", str(job.get("steps"))), "a stranger's text in a command"


@every_workflow
def test_a_workflow_names_pythons_on_which_the_book_runs(path):
    for name, job in read(path)["jobs"].items():
        for version in pythons(job):
            number = tuple(int(part) for part in version.split("."))
            assert number >= preflight.OLDEST or (path.stem, version) == ("weekly", "3.10"), (name, version)


def test_the_site_is_published_from_where_the_book_is_built():
    site = read(ROOT / ".github" / "workflows" / "site.yml")
    upload, = [step for step in steps(site) if "upload-pages" in step.get("uses", "")]
    makefile, tool = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "tools/build.py"))
    assert "tools/build.py" in makefile.split("\nbook:")[1].split("\n\n")[0]
    assert upload["with"]["path"] == "_build/html" and '"_build/html/index.html"' in tool.replace("'", '"')
    assert "build" in site["jobs"]["publish"]["needs"]
    assert site["on"]["push"]["branches"] == [book.repository()[1]]


def test_the_site_is_published_only_after_green_tests():
    site, tests = (read(ROOT / ".github" / "workflows" / f"{name}.yml") for name in ("site", "tests"))
    assert untested(site, tests) == []
    assert sum(deploys(job) for path in WORKFLOWS for job in read(path)["jobs"].values()) == 1
    assert set(tests["jobs"]["test"]["strategy"]["matrix"]["python"]) >= {"3.11", "3.13"}


@pytest.mark.parametrize("change", [
    lambda site, tests: site["jobs"]["publish"].update(needs="build"),
    lambda site, tests: site["jobs"]["publish"].pop("needs"),
    lambda site, tests: site["jobs"]["publish"].update({"if": "always()"}),
    lambda site, tests: site["jobs"]["build"]["steps"].append({"uses": "actions/deploy-pages@v4"}),
    lambda site, tests: site["jobs"]["test"].update(uses="./.github/workflows/weekly.yml"),
    lambda site, tests: site["jobs"]["test"].update({"if": "github.actor == 'me'"}),
    lambda site, tests: tests["jobs"]["test"].update({"continue-on-error": True}),
    lambda site, tests: tests["jobs"]["test"]["steps"][-1].update({"continue-on-error": True}),
    lambda site, tests: tests["jobs"]["test"]["steps"][-1].update(run=".ci/run || true")])
def test_a_way_around_the_tests_is_seen(change):
    site, tests = (read(ROOT / ".github" / "workflows" / f"{name}.yml") for name in ("site", "tests"))
    change(site, tests)
    assert untested(site, tests) != []


def test_binder_installs_the_package_as_it_lies_here():
    lines = [line for line in (ROOT / ".binder" / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert "-e ." in lines and "--extra-index-url https://download.pytorch.org/whl/cpu" in lines
    names = {Requirement(line).name for line in lines if line[0] != "-"}
    assert names == {"jupyterlab", "ipywidgets"}
    assert re.fullmatch(r"python-3\.1[1-9]\n", (ROOT / ".binder" / "runtime.txt").read_text())


def test_the_readme_opens_binder_on_the_chapters():
    url, branch = book.repository()
    address = url.replace("https://github.com/", "https://mybinder.org/v2/gh/") + f"/{branch}?urlpath=lab/tree/chapters"
    assert address in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_container_runs_as_a_reader_and_shows_the_book():
    lines = re.sub(r"\\\n", " ", DOCKER).splitlines()
    words = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    order = [word for word, _ in words]
    assert order[0] == "FROM" and re.fullmatch(r"python:3\.1[1-9]-slim", words[0][1])
    users = [what for word, what in words if word == "USER"]
    assert users and "root" not in users and order.index("USER") < order.index("COPY")
    assert ("EXPOSE", "8888") in [tuple(word) for word in words]
    command = json.loads(words[-1][1])
    assert order[-1] == "CMD" and command[:2] == ["make", "lab"] and "--ip=0.0.0.0" in command[2]
    assert made(DOCKER.replace('"make", "lab"', "make lab")) <= targets() and "--port=8888" in str(makefile_lab())
    for what in [what for word, what in words if word == "COPY"]:
        sources = [part for part in shlex.split(what)[:-1] if not part.startswith("--")]
        assert sources and all((ROOT / source).exists() for source in sources)


def makefile_lab():
    """Return the words of the command behind `make lab`."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.search(r"^lab:.*\n\t(.*)$", makefile, re.M).group(1).split()


def test_the_container_is_given_no_environment_and_no_history():
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    assert {".git", ".venv", "_build"} <= ignored
    assert not ignored & {path.name for path in ROOT.iterdir()} - {".git", ".venv", "_build", "dist", ".ruff_cache",
                                                                  ".hypothesis"}


def test_the_development_container_makes_the_environment_and_opens_jupyterlab():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["remoteUser"] != "root" and 8888 in container["forwardPorts"]
    version = tuple(int(part) for part in container["image"].split(":")[1].split("."))
    assert version >= preflight.OLDEST
    commands = [container[key] for key in ("postCreateCommand", "postAttachCommand")]
    assert {"environment", "lab"} == set().union(*map(made, commands)) <= targets()
    assert set(map(str, container["forwardPorts"])) == set(container["portsAttributes"])
    assert "jupyterlab" in (ROOT / "requirements.txt").read_text(encoding="utf-8")
