"""tools/gpu.py: its dry run on the CPU, what it does about failures, missing packages and lacking time."""
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import gpu
import numpy as np
import pytest
import torch

from tlutils import data, results, train

CPU = torch.device("cpu")
# One preset of each experiment that needs no data from elsewhere. Chapter 8 asks its encoders thousands of captions,
# which takes a CPU half a minute: tests/experiments/test_clip.py runs it.
PRESETS = ("first_layer first_layer", "preset striped_paper", "multi_task multi_task", "preset earlier_moment",
           "anb_glyphs", "preset batchnorm", "few_labels labels_per_class",
           "few_parameters vit", "five_ways five_ways_top", "head_start changed_above", "preset cloze",
           "preset pretexts", "contrast pretexts", "reversal choice", "reversal reviews_controls", "shelf layers")


@pytest.fixture(autouse=True)
def no_device_left_behind(monkeypatch):
    """The script chooses the device through the environment; other tests are to find it as it was."""
    monkeypatch.setenv("TLUTILS_DEVICE", "cpu")


def run(tmp_path, *words, budget="1000"):
    """Return the exit status of the script and what it wrote."""
    out = tmp_path / "found.json"
    status = gpu.main(["--device", "cpu", "--quick", "--budget", budget, "--out", str(out), *words])
    return status, json.loads(out.read_text(encoding="utf-8"))


def test_the_dry_run_on_the_cpu_passes(tmp_path, capsys):
    status, record = run(tmp_path, "--only", "check", "benchmark", *PRESETS)
    wrong = {item["name"]: item["reason"] for item in record["items"] if item["status"] == "failed"}
    assert wrong == {} and status == 0 and record["finished"]
    kinds = [item["kind"] for item in record["items"]]
    assert kinds.count("check") == len(gpu.CHECKS) and kinds.count("benchmark") >= 9
    assert {item["name"].split()[0] for item in record["items"] if item["kind"] == "preset"} == set(gpu.EXPERIMENTS) - {
        "clip", "photographs", "photo_shelf"}
    skipped = {item["name"]: item["reason"] for item in record["items"] if item["status"] == "skipped"}
    assert set(skipped) <= {"memory of nt xent", "first_layer first_layer_imagenet"}      # no CUDA, no such weights
    found = {item["name"]: item["found"] for item in record["items"] if item["status"] == "ok"}
    assert found["training"]["scores by default"] == "torch.float32"
    assert all(line["cpu"] > 0 and line["float32"] > 0 and line["bfloat16"] > 0
               for name, line in found.items() if name.startswith("steps a second"))
    assert len(capsys.readouterr().out.splitlines()) == len(record["items"]) + 2    # a line an item, first and last


def test_a_failure_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    seen = []

    def breaks(where):
        raise RuntimeError("this device is strange")

    def passes(where):
        seen.append(json.loads((tmp_path / "found.json").read_text(encoding="utf-8")))
        return {"value": float("nan")}

    monkeypatch.setattr(gpu, "CHECKS", {"breaks": breaks, "passes": passes})
    status, record = run(tmp_path, "--only", "check")
    assert status == 1 and [item["status"] for item in record["items"]] == ["failed", "ok"]
    assert record["items"][0]["reason"] == "RuntimeError: this device is strange"
    assert any("in breaks" in line for line in record["items"][0]["traceback"])
    assert [item["name"] for item in seen[0]["items"]] == ["breaks"] and not seen[0]["finished"]  # written as it goes
    assert record["items"][1]["found"] == {"value": "nan"}                          # JSON has no NaN
    assert "1 ok, 1 failed, 0 skipped" in capsys.readouterr().out


def test_a_device_that_no_longer_answers_is_not_asked_again(tmp_path, monkeypatch):
    replies = iter([True, False])
    monkeypatch.setattr(gpu, "answers", lambda where: next(replies))
    monkeypatch.setattr(gpu, "CHECKS", {"kills": lambda where: 1 / 0, "after": lambda where: {}})
    _, record = run(tmp_path, "--only", "check")
    assert [item["status"] for item in record["items"]] == ["failed", "skipped"]
    assert record["items"][1]["reason"] == "the device no longer answers after: kills"


@pytest.mark.skipif(not hasattr(gpu.signal, "setitimer"), reason="this system has no clock that interrupts")
def test_what_takes_too_long_is_stopped_and_what_comes_too_late_is_skipped(tmp_path, monkeypatch):
    def hangs(where):
        while True:
            try:
                time.sleep(5)
            except Exception:  # the clock gets past it
                pass

    monkeypatch.setattr(gpu, "CHECKS", {"hangs": hangs, "late": lambda where: {}})
    start = time.perf_counter()
    status, record = run(tmp_path, "--only", "check", budget="0.4")
    assert status == 0 and time.perf_counter() - start < 4
    assert [item["status"] for item in record["items"]][:1] == ["skipped"]
    assert record["items"][0]["reason"].endswith("no time left")
    _, record = run(tmp_path, budget="0")
    assert {(item["status"], item["reason"]) for item in record["items"]} == {("skipped", "no time left")}
    assert {item["kind"] for item in record["items"]} == {"check", "preset", "benchmark"}


def test_the_findings_are_no_recorded_run(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu, "items", lambda where, quick: [("check", "one", dict)])
    record = gpu.examine(CPU, 10, True, None, [])
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "devices" and not list(tmp_path.glob("[0-9][0-9]_*/*.json"))
    assert path.stem and set(path.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert record["device"]["name"] and record["commit"]
    assert torch.__version__.startswith(record["device"]["versions"]["torch"])


BLOCKED = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {absent} else self.finder.find_spec(name, path, target)
    def find_distributions(self, *context):
        found = self.finder.find_distributions(*context) if hasattr(self.finder, "find_distributions") else ()
        return (one for one in found if one.metadata["Name"].lower() not in {absent})
sys.meta_path[:] = map(Without, sys.meta_path)
sys.path.insert(0, "tools")
import gpu
sys.exit(gpu.main(["--device", "cpu", "--quick", "--out", {out!r}, "--only", "losses and", "transferab",
                   "records", "check training", "torchvision", "shelf", "anb_glyphs", "benchmark two views"]))
"""


def test_absent_packages_are_skipped_with_a_word(tmp_path):
    absent = {"torchvision", "safetensors", "tqdm", "ipywidgets", "pytest", "jupyter"}
    out = tmp_path / "found.json"
    code = BLOCKED.format(absent=absent, out=str(out))
    done = subprocess.run([sys.executable, "-c", code], cwd=gpu.ROOT, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(gpu.ROOT)})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    items = {item["name"]: item for item in json.loads(out.read_text(encoding="utf-8"))["items"]}
    assert not [item for item in items.values() if item["status"] == "failed"]
    said = {item["reason"] for item in items.values() if item["status"] == "skipped"}
    assert {reason for reason in said if not reason.startswith("no data")} <= {f"no {name}" for name in absent}
    assert items["networks of torchvision"]["status"] == items["the shelf"]["status"] == "skipped"
    assert items["losses and gradients"]["status"] == items["environment and records"]["status"] == "ok"
    assert items["transferability measures"]["status"] == "ok"


def presets():
    """Yield (name, config) of every preset."""
    for name in gpu.EXPERIMENTS:
        for preset, (_, config) in importlib.import_module(f"tlutils.experiments.{name}").PRESETS.items():
            yield f"{name} {preset}", config


def numbers(config, path=""):
    """Yield (path, value) of every integer in a config and the configs in it."""
    for field in dataclasses.fields(config):
        value, here = getattr(config, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{here}.")
        values = value if isinstance(value, tuple) else (value,)
        yield from ((here, v) for v in values if isinstance(v, int))


def test_every_recorded_preset_is_tried_small():
    kept = {"side", "tuned_side", "n_features", "hidden", "widths", "dim"}                # of networks and pictures
    for name, config in presets():
        small = gpu.shelf_shrunk(config, quick=True)
        assert type(small) is type(config)
        large = {path: v for path, v in numbers(small) if v > 240 and path.split(".")[-1] not in kept}
        assert large == {}, f"{name} is not small: name these fields in tools/gpu.py"
        for field in ("rates", "lr", "widths", "method", "kind", "architecture", "pair"):
            if hasattr(config, field) and field not in gpu.FIRST:
                assert getattr(small, field) == getattr(config, field), f"{name} {field}"
        usual = gpu.shelf_shrunk(config, quick=False)
        for field in ("methods", "targets", "variants", "layers", "sources"):             # all of them, on a GPU
            if hasattr(config, field) and not hasattr(config, "base"):
                assert getattr(usual, field) == getattr(config, field), f"{name} {field}"


def test_every_experiment_with_presets_is_in_the_list():
    folder = gpu.ROOT / "tlutils" / "experiments"
    older = {"reversal_controls"}                                     # another name for presets of reversal
    assert {path.stem for path in folder.glob("*.py") if "\nPRESETS = " in path.read_text(encoding="utf-8")} == {
        *gpu.EXPERIMENTS, *older}


def test_nothing_is_fetched(monkeypatch, tmp_path):
    from tlutils import models
    asked = []
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path))
    monkeypatch.setattr(data, "load", lambda name, root=None, download=False: asked.append((name, download)))
    load, pretrained = data.load, models.pretrained
    with gpu.offline():
        data.load("cifar100", download=True)
    assert asked == [("cifar100", False)]
    with pytest.raises(gpu.Skip, match="no data: weights of resnet18"), gpu.offline():
        models.pretrained("resnet18")
    assert data.load is load and models.pretrained is pretrained
    with pytest.raises(FileNotFoundError, match="lost"), gpu.offline():                   # a file of our own is no data
        raise FileNotFoundError("lost")


def test_a_difference_is_seen():
    x = gpu.fixed(5, 3)
    assert gpu.near("same", [x, {"a": 1.0}], [x.clone(), {"a": 1.0}], 0) == {"same": 0.0}
    for other in (-x, x + 0.1, x * 1.01):
        with pytest.raises(AssertionError, match="x: CPU and device differ by"):
            gpu.near("x", x, other, 5e-3)
    with pytest.raises(AssertionError, match="not finite"):
        gpu.near("x", x, x * np.nan, 1)
    with pytest.raises(AssertionError, match="shape"):
        gpu.near("x", x, x[:1], 1)


def test_all_that_fails_is_told():
    with pytest.raises(AssertionError, match="2 of 3: .*'b': 'ZeroDivisionError.*'c'"):
        gpu.each([("a", lambda: {"a": 1}), ("b", lambda: 1 / 0), ("c", lambda: [][1])])
    assert gpu.each([("a", lambda: {"a": 1}), ("b", lambda: {"b": 2})]) == {"a": 1, "b": 2}


def test_a_flipped_sign_on_the_device_fails_the_check(monkeypatch):
    def wrong(function, tensors, where, mixed=False):
        return [value * (-1 if mixed else 1) for value in right(function, tensors, where)]

    right = gpu.value_and_gradients
    monkeypatch.setattr(gpu, "value_and_gradients", wrong)
    with pytest.raises(AssertionError, match="16 of 16"):
        gpu.CHECKS["losses under autocast"](CPU)


def test_the_random_numbers_are_the_same_on_every_device_and_given_back():
    rand, randn = torch.rand, torch.randn
    drawn = []
    for _ in range(2):
        with gpu.same_draws():
            drawn.append((torch.rand(3, device="cpu", generator=None), torch.randn((2, 2), device=CPU)))
    assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])
    assert torch.rand is rand and torch.randn is randn


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_chosen_where_the_gpu_has_it_and_not_where_it_imitates_it(monkeypatch, native):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert gpu.has_bfloat16(torch.device("cuda")) is native
    apple = torch.device("mps")
    assert gpu.has_bfloat16(CPU) and not gpu.has_bfloat16(apple) and not gpu.has_float64(apple)

    class Remote(torch.nn.Linear):
        def parameters(self, recurse=True):
            yield SimpleNamespace(device=torch.device("cuda"))

    monkeypatch.setattr(torch, "autocast", lambda *words: asked.append(words) or gpu.contextlib.nullcontext())
    model = Remote(2, 2)
    optimizer = torch.optim.SGD([model.weight, model.bias], lr=0.1)
    train.fit(model, [torch.ones(3, 2)], lambda net, batch: net(batch).sum(), optimizer)
    assert asked == [("cuda", torch.bfloat16)] * native
    train.fit(model, [torch.ones(3, 2)], lambda net, batch: net(batch).sum(), optimizer, mixed_precision=True)
    assert asked == [("cuda", torch.bfloat16)] * (native + 1)                             # who asks for it gets it


def test_a_device_that_is_not_there_is_one_clear_line(capsys, monkeypatch):
    monkeypatch.setattr(gpu, "answers", lambda where: False)
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cuda:7"])
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("python tools/gpu.py: error: ") and "cuda:7" in told


@pytest.mark.parametrize("words, told", [
    (["--budget", "-5"], "--budget must be a number of seconds"), (["--budget", "nan"], "--budget must be"),
    (["--budget", "inf"], "--budget must be"), (["--out", "."], "--out must be a file"),
    (["--out", ""], "--out must be a file")], ids=" ".join)
def test_wrong_words_are_one_clear_line(capsys, words, told):
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu", *words])
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_place_that_cannot_be_written_is_told_before_the_first_item(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "items", lambda where, quick: pytest.fail("it began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="not written.*found.json.*--out FILE"):
        gpu.main(["--device", "cpu", "--out", str(tmp_path / "file" / "found.json")])


def test_words_that_no_item_holds_are_no_success(tmp_path):
    with pytest.raises(SystemExit, match="no item's kind and name hold zebra: nothing was tried"):
        run(tmp_path, "--only", "zebra")


def test_ctrl_c_keeps_what_was_found(tmp_path, monkeypatch):
    def stopped(where):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "CHECKS", {"one": lambda where: {"a": 1}, "two": stopped})
    with pytest.raises(SystemExit, match="Stopped"):
        run(tmp_path)
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [item["name"] for item in found["items"]] == ["one"] and not found["finished"]


def test_python_without_asserts_compares_nothing_and_is_refused():
    done = subprocess.run([sys.executable, "-O", "tools/gpu.py", "--device", "cpu", "--quick"], cwd=gpu.ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "python -O" in done.stderr.splitlines()[-1]
