"""Results: complete provenance, atomic writing, damaged files named."""
import json
import time

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

    def die(self, text):
        with open(self, "w") as f:
            f.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.write_text", die)
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
        assert len(record["data"]["sha256"]) == 64 and path.stem in record["command"], path
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
