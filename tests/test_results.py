"""Results: complete provenance, atomic writing, damaged files named."""
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tlutils import results

ROWS = [{"method": "probe", "seed": seed, "metric": "accuracy", "value": 0.5 + seed / 10, "unit": "fraction"}
        for seed in (1, 0, 2)]


def keep(folder, rows=ROWS):
    return results.save("99_test", "run", rows, question="why?", command="python -m x", config={"lr": 1},
                        seeds=[0, 1, 2], data={"name": "none"}, started=time.time() - 5, folder=folder)


def test_save_and_load_give_the_rows_and_the_provenance(tmp_path):
    record = results.load("99_test", "run", folder=keep(tmp_path).parents[1])
    assert record["rows"] == ROWS
    assert {"schema", "name", "question", "command", "commit", "dirty", "date_utc", "wall_s", "device", "versions",
            "data", "config", "seeds"} <= set(record)
    assert 5 <= record["wall_s"] < 60 and record["versions"]["torch"]


def test_the_code_version_is_that_of_the_start_of_a_run(tmp_path):
    path = results.save("99_test", "run", ROWS, question="why?", command="python -m x", config={}, seeds=[0], data={},
                        started=time.time(), code={"commit": "abc", "dirty": False}, folder=tmp_path)
    assert json.loads(path.read_text())["commit"] == "abc" and set(results.code_version()) == {"commit", "dirty"}


@pytest.mark.parametrize("rows, says", [
    ([], "at least one row"),
    ([{"method": "a", "seed": 0, "metric": "m", "value": 1.0}], "lacks .'unit'."),
    ([{**ROWS[0], "value": float("nan")}], "finite"),
    ([{**ROWS[0], "value": "0.5"}], "finite"),
])
def test_save_refuses_incomplete_rows_and_leaves_the_old_file(tmp_path, rows, says):
    path = keep(tmp_path)
    before = path.read_text()
    with pytest.raises(ValueError, match=says):
        keep(tmp_path, rows)
    assert path.read_text() == before


def test_a_run_killed_while_writing_leaves_the_last_good_file(tmp_path, monkeypatch):
    path = keep(tmp_path)
    before = path.read_text()

    def die(self, content):
        with open(self, "wb") as f:
            f.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.write_bytes", die)
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, ROWS[:1])
    assert path.read_text() == before and list(path.parent.iterdir()) == [path]


def test_load_says_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="make results CH=99"):
        results.load("99_test", "run", folder=tmp_path)
    path = keep(tmp_path)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ValueError, match="damaged"):
        results.load("99_test", "run", folder=tmp_path)
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        results.load("99_test", "run", folder=tmp_path)


def altered(text, **changes):
    """Return the text of a record with other values under some keys; None takes a key away."""
    record = json.loads(text) | changes
    return json.dumps({key: value for key, value in record.items() if value is not None})


@pytest.mark.parametrize("change", [
    lambda text: "3", lambda text: '"a word"', lambda text: "[" * 50_000, lambda text: '{"a":' * 50_000,
    lambda text: text.replace("0.5", "NaN"), lambda text: text.replace("0.5", "1e999"),
    lambda text: text.replace("0.5", "1" + "0" * 350), lambda text: text.replace("0.5", "1" + "0" * 6000),
    lambda text: text.replace("0.5", "true"), lambda text: text.replace('"seed": 2', '"seed": "2"'),
    lambda text: text.replace('"seed": 2', '"seed": true'), lambda text: text.replace('"probe"', "7"),
    lambda text: altered(text, rows=None), lambda text: altered(text, rows={"a": 1}),
    lambda text: altered(text, rows=[ROWS]), lambda text: altered(text, seeds=None),
    lambda text: altered(text, config=[]), lambda text: altered(text, question=5), lambda text: ""],
    ids=map(str, range(19)))
def test_json_of_another_shape_is_a_damaged_file_that_is_named(tmp_path, change):
    path = keep(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match="run.json is damaged"):
        results.load("99_test", "run", folder=tmp_path)


def test_text_in_another_encoding_is_a_damaged_file_that_is_named(tmp_path):
    path = keep(tmp_path)
    path.write_bytes(path.read_text().replace("why?", "pourquoi, en été?").encode("latin-1"))
    with pytest.raises(ValueError, match="run.json is damaged"):
        results.load("99_test", "run", folder=tmp_path)
    (tmp_path / "published").mkdir()
    for content in ("[]", '{"paper": NaN}', "{"):
        (tmp_path / "published" / "smith.json").write_text(content)
        with pytest.raises(ValueError, match="smith.json is damaged"):
            results.published("smith", folder=tmp_path)


@pytest.mark.parametrize("name", [
    "..", "a/b", "../a", "a\\b", "/etc/passwd", "", ".", "a..b", ".hid", "a\n", "a\0", None, 3])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    for call in (lambda: results.load("99_test", name, folder=tmp_path), lambda: results.load(name, "run", tmp_path),
                 lambda: results.published(name, folder=tmp_path),
                 lambda: results.save("99_test", name, ROWS, question="?", command="c", config={}, seeds=[0], data={},
                                      started=0, folder=tmp_path)):
        with pytest.raises(ValueError, match="must be a plain name"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_and_torch_are_stored_as_plain_numbers(tmp_path):
    import torch

    row = {"method": np.str_("probe"), "seed": np.int64(3), "metric": "accuracy", "value": np.float32(0.5),
           "unit": "fraction", "side": np.uint8(7), "target": np.bool_(True)}
    path = results.save("99_test", "run", [row, row | {"value": torch.tensor(1)}], question="?", command="c",
                        config={"lr": np.float16(0.25), "sizes": (np.int32(1), 2), 5: np.arange(2)}, seeds=np.arange(3),
                        data={"sizes": {np.int64(1): torch.ones(1)}}, started=time.time(), folder=tmp_path)
    record = results.load("99_test", "run", folder=path.parents[1])
    assert record["rows"][0] == {"method": "probe", "seed": 3, "metric": "accuracy", "value": 0.5, "unit": "fraction",
                                 "side": 7, "target": True}
    assert record["rows"][1]["value"] == 1 and record["seeds"] == [0, 1, 2]
    assert record["config"] == {"lr": 0.25, "sizes": [1, 2], "5": [0, 1]} and record["data"] == {"sizes": {"1": [1.0]}}


@pytest.mark.parametrize("config, says", [
    ({"lr": float("inf")}, r"config\.lr must be finite, got inf"), ({"a": [0, {"b": np.nan}]}, r"config\.a\[1\]\.b"),
    ({"root": Path("x")}, r"config\.root .*Path"), ({"kinds": {1, 2}}, "config.kinds .*set"),
    ({"type": np.float32}, "config.type"), ({1: 0, "1": 0}, "each once"), ({(1, 2): 0}, "words for keys"),
    ({"word": "\ud800"}, "config.word must be text"), ({"f": len}, "config.f")])
def test_what_json_cannot_hold_is_named_and_nothing_is_written(tmp_path, config, says):
    with pytest.raises(ValueError, match=says):
        results.save("99_test", "run", ROWS, question="?", command="c", config=config, seeds=[0], data={}, started=0,
                     folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_records_of_today_keep_their_bytes(tmp_path):
    for path in sorted(results.RESULTS.glob("[0-9][0-9]_*/*.json")):
        record = results.load(path.parent.name, path.stem)
        record["rows"] = results.check_rows(record["rows"])
        again = results.write_json(tmp_path / path.name, results.plain(record, "record"))
        assert again.read_bytes() == path.read_bytes(), path


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path):
    path = keep(tmp_path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))  # stands for a full disk
    try:
        with pytest.raises(OSError, match="not written.*run.json"):
            keep(tmp_path, ROWS * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "99_test").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="run.json"):
        keep(tmp_path)


def test_writers_side_by_side_leave_one_whole_file(tmp_path):
    code = ("import sys; from pathlib import Path; import results\n"
            "for k in range(200): results.write_json(Path(sys.argv[1]), {'who': sys.argv[2] * 5000})")
    path = tmp_path / "shared.json"
    environment = os.environ | {"PYTHONPATH": str(results._PACKAGE)}
    writers = [subprocess.Popen([sys.executable, "-c", code, path, who], env=environment) for who in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert set(json.loads(path.read_text())["who"]) in ({"a"}, {"b"}) and list(tmp_path.iterdir()) == [path]


def version_of_a_copy(folder, place, track=False, book=True, **variables):
    """Return code_version() of a copy of results.py at `place` in somebody's git repository."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    (folder / place).mkdir(parents=True)
    shutil.copy(results.__file__, folder / place)
    if book:
        (folder / place).with_name("_toc.yml").touch()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    if track:
        subprocess.run([*git, "add", "-f", "."], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    code = "import json, results; print(json.dumps(results.code_version()))"
    environment = os.environ | {"PYTHONPATH": str(folder / place), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return json.loads(done.stdout), head


UNKNOWN = {"commit": "unknown", "dirty": True}


@pytest.mark.parametrize("place, track", [(".venv/lib/tlutils", False), ("book/tlutils", True), ("tlutils", False),
                                          ("other", True), (".", True)])
def test_a_package_in_somebody_elses_repository_has_no_commit(tmp_path, place, track):
    version, _ = version_of_a_copy(tmp_path / "project", place, track, book=place != "other")
    assert version == UNKNOWN


def test_the_package_of_its_own_repository_has_a_commit_also_inside_a_hook_of_git(tmp_path):
    version, head = version_of_a_copy(tmp_path / "bühne", "tlutils", True, GIT_DIR=str(tmp_path / "none"), LC_ALL="C")
    assert version == {"commit": head, "dirty": False}


def test_without_git_the_commit_is_unknown(tmp_path):
    version, _ = version_of_a_copy(tmp_path / "project", "tlutils", True, PATH=str(tmp_path))
    assert version == UNKNOWN


def test_select_orders_by_seed_and_refuses_a_misspelt_method():
    assert np.allclose(results.select(ROWS, method="probe", metric="accuracy"), [0.5, 0.6, 0.7])
    with pytest.raises(ValueError, match="prob"):
        results.select(ROWS, method="prob")


def test_published_records_are_complete_and_a_missing_one_is_named():
    folder = results.RESULTS / "published"
    keys = [path.stem for path in folder.glob("*.json")]
    assert "yosinski2014_runs" in keys
    for key in keys:
        assert results.published(key)["read_from"]
    with pytest.raises(FileNotFoundError, match="yosinski2014_runs"):
        results.published("yosinski")


def test_the_published_runs_give_the_published_table():
    """Table 1 of Yosinski et al. follows from their runs: the boost of AnB+ over the mean base, runs pooled."""
    runs = results.published("yosinski2014_runs")["values"]
    base = np.mean([r["accuracy"] for r in runs if r["treatment"] == "base"])
    for first, boost in ((1, 1.6), (3, 1.8), (5, 2.1)):
        pooled = [r["accuracy"] - base for r in runs if r["treatment"] == "AnB+" and r["n"] >= first]
        assert abs(100 * np.mean(pooled) - boost) < 0.05


def test_claim_is_coarse_and_never_silent(capsys):
    results.claim("it falls", np.bool_(True))
    results.claim("it rises", False)
    assert capsys.readouterr().out == "holds: it falls\nDOES NOT HOLD: it rises\n"


def test_sha256_depends_on_values_shape_and_type():
    a = np.arange(6)
    assert len({results.sha256(b) for b in (a, a[::-1], a.reshape(2, 3), a.astype("i4"))}) == 4
    assert results.sha256(a, a) != results.sha256(a)


def test_every_recorded_run_is_clean_and_complete():
    for path in results.RESULTS.glob("[0-9][0-9]_*/*.json"):
        record = results.load(path.parent.name, path.stem)
        assert record["name"] == path.stem and not record["dirty"] and len(record["commit"]) == 40, path
        assert all(len(part["sha256"]) == 64 for part in record["data"]["parts"].values()), path
        assert path.stem in record["command"], path
        assert {row["seed"] for row in record["rows"]} == set(record["seeds"]), path


def test_the_published_correlations_follow_from_the_published_candidates():
    cases = results.published("huang2022_candidates")["values"]
    names = {"nce": "NCE", "leep": "LEEP", "lfc": "LFC", "h_score": "H-Score", "logme": "LogME",
             "transrate": "TransRate"}
    measures = {"R_p": scipy.stats.pearsonr, "tau_K": scipy.stats.kendalltau, "tau_w": scipy.stats.weightedtau}
    compared = 0
    for case in cases:
        for score in set(names) & set(case):
            told = case["published"][names[score]]
            for key, measure in measures.items():
                assert measure(case[score], case["accuracy"])[0] == pytest.approx(told[key], abs=1e-3)
                compared += 1
    assert len(cases) == 19 and compared == 3 * (15 + 19 * 3 + 12 * 2)  # scores of every kind, some for some cases only


def test_a_row_is_plain_rounded_and_knows_its_unit():
    made = results.row("probe", np.int64(3), "accuracy", np.float32(2 / 3), target="symbols", layer=None)
    assert made == {"method": "probe", "seed": 3, "target": "symbols", "metric": "accuracy", "value": 0.66667,
                    "unit": "fraction"}
    assert list(made) == ["method", "seed", "target", "metric", "value", "unit"]
    assert results.row("probe", 0, "accuracy", 1 / 3, digits=None)["value"] == 1 / 3
    assert results.row("pair", 0, "loss", 1.0, "nats")["unit"] == "nats"


@pytest.mark.parametrize("words, factors, says", [
    (("probe", 0, "precision", 0.5), {}, "metric must be one of accuracy"),
    (("probe", 0, "accuracy", 0.5, "%"), {}, "unit of accuracy must be fraction, got '%'"),
    (("probe", 0, "loss", 0.5), {}, "unit of loss must be one of nats, squared error, got None"),
    (("probe", 0, "accuracy", float("nan")), {}, "must be finite"),
    (("probe", 0, "accuracy", "0.5"), {}, "must be a finite number"),
    (("probe", 0, "accuracy", None), {}, "must be a finite number"),
    (("probe", 0.5, "accuracy", 0.5), {}, "seed must be a whole number"),
    ((7, 0, "accuracy", 0.5), {}, "method must be a word"),
    (("probe", 0, "accuracy", 0.5), {"colour": "red"}, "factors must be among target, .*got colour"),
    (("probe", 0, "accuracy", 0.5), {"target": object()}, "must be numbers, words")])
def test_a_row_that_says_nothing_is_refused_where_it_is_made(words, factors, says):
    with pytest.raises(ValueError, match=says):
        results.row(*words, **factors)


MADE = results.Run.of([results.row(method, seed, metric, base + seed / 100, target=target, labels_per_class=n)
                       for method, base in (("probe", 0.5), ("scratch", 0.2)) for seed in (1, 0, 2)
                       for metric in ("accuracy", "train_accuracy") for target in ("near", "far") for n in (5, 20)])
ONE = {"metric": "accuracy", "target": "near", "labels_per_class": 5}


def test_a_run_gives_values_and_gaps_seed_by_seed():
    assert MADE["seeds"] == [0, 1, 2] and MADE.rows is MADE["rows"]
    np.testing.assert_allclose(MADE.select(method="probe", **ONE), [0.5, 0.51, 0.52])
    np.testing.assert_allclose(MADE.gap("probe", "scratch", **ONE), [0.3] * 3)
    sides = {"method": "probe", "metric": "train_accuracy"}, {"method": "scratch", "metric": "accuracy"}
    np.testing.assert_allclose(MADE.gap(*sides, target="far", labels_per_class=20), [0.3] * 3)
    np.testing.assert_allclose(MADE.gap("scratch", "probe", **ONE), [-0.3] * 3)


@pytest.mark.parametrize("sides, wanted, says", [
    (("probe", "nothing"), ONE, "no row has"),
    (("probe", "scratch"), {"metric": "accuracy", "target": "near"}, "one row a seed must answer"),
    (("probe", {"method": "scratch", "seed": 0}), ONE, "must have the same seeds")])
def test_a_gap_of_what_cannot_be_paired_is_refused(sides, wanted, says):
    with pytest.raises(ValueError, match=says):
        MADE.gap(*sides, **wanted)


def test_a_table_shows_means_and_ranges_and_dots_where_nothing_was_measured():
    table = MADE.table("method", "target", metric="accuracy", labels_per_class=5)
    assert table == [{"method": "probe", "near": "51.0 (50.0 to 52.0)", "far": "51.0 (50.0 to 52.0)"},
                     {"method": "scratch", "near": "21.0 (20.0 to 22.0)", "far": "21.0 (20.0 to 22.0)"}]
    assert MADE.table(method="probe", **ONE) == [{"method": "probe", "accuracy": "51.0 (50.0 to 52.0)"}]
    some = results.Run.of([row for row in MADE.rows if (row["method"], row["target"]) != ("scratch", "far")])
    assert some.table("method", "target", metric="accuracy", labels_per_class=5)[1]["far"] == "..."
    alone = results.Run.of([results.row("x", 0, "seconds", 12.3456)])
    assert alone.table() == [{"method": "x", "seconds": "12.3"}]


@pytest.mark.parametrize("lines, wanted, says", [
    ("method", {}, "metric must be named, the rows hold accuracy, train_accuracy"),
    ("method", {"metric": "accuracy"}, r"a cell must have one row a seed, method 'probe' has more: name another factor "
                                       r"\(labels_per_class, target\)"),
    ("mehtod", {"metric": "accuracy"}, "lines and columns must be keys of the rows, got 'mehtod'"),
    ("method", {"metric": "nothing"}, "no row has")])
def test_a_table_that_would_mix_numbers_is_refused(lines, wanted, says):
    with pytest.raises(ValueError, match=says):
        MADE.table(lines, **wanted)


def test_a_table_and_a_gap_have_one_unit():
    rows = [results.row(method, 0, metric, 0.5, unit) for method, metric, unit in (
        ("pair", "loss", "nats"), ("imputation", "loss", "squared error"))]
    with pytest.raises(ValueError, match="the rows must have one unit, got nats, squared error: name a method"):
        results.Run.of(rows).table(metric="loss")
    assert results.Run.of(rows).table(metric="loss", method="pair") == [{"method": "pair", "loss": "0.5"}]
    with pytest.raises(ValueError, match="both must have one unit, got nats, squared error"):
        results.Run.of(rows).gap("pair", "imputation", metric="loss")
    with pytest.raises(ValueError, match="columns must be keys of the rows, got 'piar'"):
        results.Run.of(rows[:1]).table("method", "piar")
    counts = results.Run.of([results.row("LoRA", seed, "trained", 7114) for seed in (0, 1)])
    assert counts.table() == [{"method": "LoRA", "trained": "7,114"}]


@pytest.mark.parametrize("wanted, says", [
    ({"method": "prob"}, "method is one of probe, scratch"), ({"metod": "probe"}, "none has 'metod'"),
    ({"method": "probe", "target": "middle"}, "target is one of far, near")])
def test_a_selection_of_nothing_names_the_key_that_is_wrong(wanted, says):
    with pytest.raises(ValueError, match=f"no row has .*{says}"):
        MADE.select(**wanted)


@pytest.mark.parametrize("words, says", [
    (("probe", 0, "accuracy", 50.0), "accuracy must be a fraction in 0..1, got 50.0"),
    (("probe", -1, "accuracy", 0.5), "seed must be >= 0"), (("probe", 0, ["accuracy"], 0.5), "metric must be a word")])
def test_a_per_cent_a_negative_seed_and_a_list_are_refused(words, says):
    with pytest.raises(ValueError, match=says):
        results.row(*words)


def test_a_run_says_what_it_is(tmp_path):
    record = results.load("99_test", "run", folder=keep(tmp_path).parents[1])
    shown = repr(record)
    assert all(word in shown for word in ("why?", "python -m x", "seeds: 0, 1, 2; 3 rows", record["device"],
                                          record["date_utc"][:10])) and len(shown.splitlines()) == 5
    assert isinstance(record, dict) and json.loads(json.dumps(record)) == record


def test_a_table_of_each_seed_keeps_their_order():
    rows = [results.row(how, seed, "accuracy", value, labels_per_class=5)
            for how, values in (("b", {1: 0.504, 0: 0.75}), ("a", {0: 1.0, 1: 0.996}))
            for seed, value in values.items()]
    table = results.Run.of(rows).table("method", "labels_per_class", each=True)
    assert [list(line.values()) for line in table] == [["b", "75 50"], ["a", "100 100"]]
    counts = results.Run.of([results.row("probe", seed, "chosen_layer", layer) for seed, layer in ((1, 6), (0, 7))])
    assert counts.table(each=True) == [{"method": "probe", "chosen_layer": "7 6"}]


def test_an_empty_table_and_a_cell_of_markup_show_themselves():
    assert repr(results.Table()) == "(an empty table)" and "<tr></tr>" in results.Table()._repr_html_()
    shown = results.Table([{"<b>": "<script>"}])._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "&lt;b&gt;" in shown


def test_the_vocabulary_has_a_unit_for_every_metric_and_no_word_twice():
    assert all(units for units in results.METRICS.values()) and not set(results.METRICS) & set(results.FACTORS)
    assert not set(results.ROW_KEYS) & set(results.FACTORS)


def test_an_older_record_says_how_it_is_converted(tmp_path):
    path = keep(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1}))
    with pytest.raises(ValueError, match="has schema 1.*python tools/convert.py"):
        results.load("99_test", "run", folder=tmp_path)


def test_an_expectation_says_what_it_checks_and_can_fail():
    rows = [results.row(how, seed, "accuracy", value + 0.01 * seed * (how == "b"), target="symbols", labels_per_class=5)
            for how, value in (("a", 0.5), ("b", 0.45)) for seed in range(4)]
    run = results.Run.of(rows)                                            # a - b: 5, 4, 3, 2 points
    where = {"labels_per_class": 5, "target": "symbols"}
    assert results.Expected("a", "b", 3, where, every=False).holds(run)
    assert not results.Expected("a", "b", 3, where).holds(run)
    assert results.Expected("a", "b", 1, where).holds(run) and not results.Expected("b", "a", -1, where).holds(run)
    assert results.Expected("b", "a", -6, where).holds(run)
    assert results.Expected("a", "b", 3, where).text == (
        "5 labels, symbols: a is ahead of b by over 3 points, in every seed")
    assert results.Expected("b", "a", -6, where, every=False).text == (
        "5 labels, symbols: b is behind a by under 6 points, if at all, in the mean")
    with pytest.raises(ValueError):
        results.Expected("a", "c", 3, where).holds(run)


def test_an_expectation_may_compare_two_moments_of_one_method_and_need_no_place():
    run = results.Run.of([results.row("a", 0, "accuracy", value, budget=n) for n, value in ((30, 0.5), (90, 0.6))])
    line = results.Expected({"budget": 90}, {"budget": 30}, 5, {"method": "a"})
    assert line.holds(run) and line.text == "a: 90 steps is ahead of 30 steps by over 5 points, in every seed"
    rows = [results.row(how, 0, "accuracy", value) for how, value in (("a", 0.5), ("b", 0.4))]
    assert results.Expected("a", "b", 0, {}).holds(results.Run.of(rows))
    assert results.Expected("a", "b", 0, {}).text == "a is ahead of b, in every seed"


def table_of_ways(values):
    """Return a run with a row for each of values (ways, seeds), in points."""
    return results.Run.of([results.row(f"way {k}", seed, "accuracy", 0.5 + value / 100, digits=None)
                           for k, line in enumerate(values) for seed, value in enumerate(line)])


def test_leaders_shut_nobody_out_without_a_difference_and_name_a_clear_lead():
    rng, ways = np.random.default_rng(0), [f"way {k}" for k in range(5)]
    scatter = 2 * rng.standard_normal((600, 5, 5))
    shut = np.mean([len(table_of_ways(some).leaders(ways, metric="accuracy")) < 5 for some in scatter])
    assert 0.05 < shut < 0.11                                  # 8 %; at level 0.95 without correction it is 26 %
    ahead = np.array([0, 0, 10, 0, 0])[:, None]
    assert np.mean([table_of_ways(some + ahead).leaders(ways, metric="accuracy") == ["way 2"]
                    for some in scatter[:200]]) > 0.9


def test_leaders_compare_seed_by_seed_in_order_of_the_means():
    seeds = np.array([0.0, 10, 20, 30, -20])                    # far more than the lead, but the same for both
    run = table_of_ways([seeds, seeds + [1, 1.1, 0.9, 1, 1.05], seeds[::-1] + 0.5])
    assert run.leaders(["way 0", "way 1"], metric="accuracy") == ["way 1"]
    assert run.leaders(["way 0", "way 1", "way 2"], metric="accuracy") == ["way 1", "way 2"]
    same = table_of_ways([seeds, seeds])
    assert same.leaders(["way 0", "way 1"], metric="accuracy") == ["way 0", "way 1"]


@pytest.mark.parametrize("methods, options", [(["way 0"], {}), (["way 0", "way 0"], {}), (["way 0", "way 9"], {}),
                                              (["way 0", "way 1"], {"level": 1})])
def test_leaders_refuse_what_is_no_comparison(methods, options):
    with pytest.raises(ValueError):
        table_of_ways(np.zeros((2, 3))).leaders(methods, metric="accuracy", **options)
    with pytest.raises(ValueError, match="seeds must be two"):
        table_of_ways(np.zeros((2, 1))).leaders(["way 0", "way 1"], metric="accuracy")
