"""The flips of tools/mutate.py on tiny chapters: what is noticed, what is not, what runs, and what is never read."""
import json
import random

import book
import mutate
import pytest

from tlutils import results

SET_UP = "%pip install nothing"
LOAD = ('import numpy as np\nfrom tlutils import results\nfrom tlutils.results import claim\n'
        'run = results.load("01_small", "ways")')


def rows_of(shift=0.0):
    """Return rows of two methods on two targets, three seeds each; no two values are alike."""
    return [results.row(method, seed, "accuracy", 0.5 + 0.2 * (method == "probe") + 0.05 * (target == "near")
                        + 0.011 * seed + shift, target=target)
            for method in ("probe", "scratch") for target in ("near", "far") for seed in (0, 1, 2)]


def code(source, printed="", *tags):
    """Return a code cell that printed something."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    return {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": outputs,
            "execution_count": 1}


def prose(text):
    """Return a cell of text."""
    return {"cell_type": "markdown", "source": text, "metadata": {}}


@pytest.fixture
def made(tmp_path):
    """Return a function that writes a book of one chapter with these cells, and a record; it returns the root."""
    def write(*cells, number="01", rows=None, name="ways"):
        results.save("01_small", name, rows or rows_of(), question="which?", command="python", config={},
                     seeds=[0, 1, 2], data={}, started=0.0, code={"commit": "unknown", "dirty": True},
                     folder=tmp_path / "results")
        path = tmp_path / "chapters" / f"{number}_small.ipynb"
        path.parent.mkdir(exist_ok=True)
        whole = [code(SET_UP, "", "setup"), *cells]
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": whole}))
        return tmp_path
    return write


CHECKED = code(
    'for one in ("probe", "scratch"):\n'
    '    for place in ("near", "far"):\n'
    '        print(one, place, *(f"{100 * v:.0f}" for v in run.select(method=one, target=place)))',
    "probe near 75 76 77\nprobe far 70 71 72\nscratch near 55 56 57\nscratch far 50 51 52\n", "nbval-check-output")
BLIND = code('claim("ahead", run.gap("probe", "scratch", target="near").mean() > -0.5)', "holds: ahead\n",
             "nbval-check-output")


def told(root, *arguments):
    """Return the exit status and what was said, without the seconds."""
    lines = []
    status = mutate.main(list(arguments), root, lines.append)
    return status, [line.split("; ")[0] for line in lines]


def test_a_checked_cell_with_a_number_for_each_method_and_seed_notices_every_flip(made):
    status, lines = told(made(code(LOAD), CHECKED))
    assert status == 0
    share = next(line for line in lines if line.startswith("chapter 01"))
    assert "100 %" in share and "by a claim" in share
    assert lines[-1] == "  none"


def test_a_claim_that_always_holds_notices_nothing_and_what_it_does_not_read_is_named(made):
    status, lines = told(made(code(LOAD), BLIND))
    assert status == 1
    assert ", 0 % (none)" in lines[0]
    assert any("nobody noticed: 01_small/ways, accuracy, seeds of probe shuffled" in line for line in lines)
    assert "  01_small/ways, accuracy: probe (3 of 6 rows), scratch (3 of 6 rows)" in lines


def test_only_the_chapters_that_are_required_decide(made):
    assert told(made(code(LOAD), BLIND, number="02"))[0] == 0


def test_a_record_that_no_chapter_loads_is_named(made):
    made(code(LOAD), CHECKED)
    assert "  01_small/other: all of it, no chapter loads it" in told(made(code(LOAD), CHECKED, name="other"))[1]


def test_the_same_flips_every_time(made):
    root = made(code(LOAD), BLIND)
    assert told(root) == told(root, "1")


def test_a_chapter_that_prints_something_else_than_what_is_stored_is_not_green(made):
    status, lines = told(made(code(LOAD), CHECKED, rows=rows_of(0.02)))
    assert status == 2 and lines[0] == "chapter 01: not green before any flip"
    assert lines[1] == "  cell 2 prints what is not stored: probe near 77 78 79"


def test_a_chapter_that_stops_or_whose_prose_has_nothing_behind_it_is_not_green(made):
    assert told(made(code(LOAD), code("print(run.select(method='prob'))")))[0] == 2
    status, lines = told(made(code(LOAD), CHECKED, prose("It is 12.3 %.")))
    assert status == 2 and "  no output holds 12.3" in lines


def flip(values_of, kind=mutate.take_points):
    """Return (record, values) of the flip of a kind."""
    values = kind(random.Random(0), values_of, range(len(values_of)))[1]
    return ("01_small", "ways"), values


MEAN = code('print(f"{100 * run.select(method=\'scratch\', target=\'far\').mean():.1f} %")', "51.1 %\n")


@pytest.mark.parametrize("text", [prose("It reads 51.1 %."), code('# @title Question\nchoose("Is it 51.1 %?")', "",
                                                                  "quiz")])
def test_a_number_in_prose_or_in_a_question_notices(made, text):
    root = made(code(LOAD), MEAN, text)
    chapter = mutate.Chapter(root / "chapters" / "01_small.ipynb", root)
    assert chapter.faults == []
    down = {k: row["value"] - 0.03 for k, row in enumerate(rows_of()) if row["method"] == "scratch"}
    assert chapter.notices(("01_small", "ways"), down) == "number"
    near = {k: row["value"] - 0.03 for k, row in enumerate(rows_of()) if row["target"] == "near"}
    assert chapter.notices(("01_small", "ways"), near) == ""


def test_alternative_text_and_the_guide_notice_and_only_where_they_speak_of_the_chapter(made):
    drawn = code("x = 1", "")
    drawn["metadata"]["mystnb"] = {"image": {"alt": "A bar of 51.1 %."}}
    down = ("01_small", "ways"), {k: row["value"] - 0.03 for k, row in enumerate(rows_of())}
    root = made(code(LOAD), MEAN)
    assert mutate.Chapter(root / "chapters" / "01_small.ipynb", root).notices(*down) == ""
    root = made(code(LOAD), MEAN, drawn)
    assert mutate.Chapter(root / "chapters" / "01_small.ipynb", root).notices(*down) == "number"
    root = made(code(LOAD), MEAN)
    (root / "reference").mkdir()
    for link, noticed in (("chapters/02_other.ipynb", ""), ("chapters/01_small.ipynb", "number")):
        (root / "reference" / "decision_guide.md").write_text(f"# Guide\n\nScratch reads 51.1 % ([there](../{link})).")
        assert mutate.Chapter(root / "chapters" / "01_small.ipynb", root).notices(*down) == noticed


def test_a_chapter_that_stops_notices(made):
    root = made(code(LOAD), code("assert run.select(method='scratch').min() > 0.49\nprint('fine')"),
                code("share = run.select(method='scratch').min()\nprint(1 / max(0, share - 0.49) > 0)", "True\n"))
    chapter = mutate.Chapter(root / "chapters" / "01_small.ipynb", root)
    assert chapter.notices(("01_small", "ways"), dict.fromkeys(range(12), 0.1)) == "stop"


def test_what_trains_or_draws_does_not_run_and_its_stored_lines_stay(made):
    live = code("from tlutils import train\nnet = train.train(None, run)\nprint(net)", "0.75\n")
    both = code("print('live', net)\nprint('far', *run.select(method='probe', target='far').round(2))",
                "live 0.75\nfar 0.7 0.71 0.72\n")
    figure = code("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot(run.select(method='probe'))\n"
                  "plt.show()")
    root = made(code(LOAD), live, both, figure, prose("It was 0.75, later 0.71."))
    chapter = mutate.Chapter(root / "chapters" / "01_small.ipynb", root)
    assert chapter.faults == [] and chapter.before == {1: "", 3: "far 0.7 0.71 0.72\n"}
    assert chapter.kept[3] == ["live 0.75"]


def test_two_methods_swapped_within_a_seed():
    rows = rows_of()
    _, values = flip(rows, mutate.swap_methods)
    assert len(values) == 4 and len({rows[k]["seed"] for k in values}) == 1
    for k, value in values.items():
        partner = next(row for row in rows if row["seed"] == rows[k]["seed"] and row["method"] != rows[k]["method"]
                       and row["target"] == rows[k]["target"])
        assert value == partner["value"]


def test_a_factor_permuted_the_seeds_shuffled_and_three_points_taken():
    rows = rows_of()
    _, values = flip(rows, mutate.permute_factor)
    assert len(values) == 12 and values[0] == rows[3]["value"] and values[3] == rows[0]["value"]
    _, values = flip(rows, mutate.shuffle_seeds)
    assert len({rows[k]["method"] for k in values}) == 1
    assert sorted(values.values()) == sorted(rows[k]["value"] for k in values)
    assert values != {k: rows[k]["value"] for k in values}
    _, values = flip(rows)
    assert len(values) == 6 and all(value == pytest.approx(rows[k]["value"] - 0.03) for k, value in values.items())


def test_one_method_one_seed_and_no_factor_give_no_flip():
    rows = [results.row("probe", 0, "seconds", 1.0)]
    for kind in mutate.KINDS:
        assert flip(rows, kind)[1] in ({}, {0: 1.0})


def needs(*sources):
    """Return the numbers of the statements that the last one needs."""
    cells = [{"cell_type": "code", "source": source, "metadata": {}} for source in sources]
    statements = mutate.statements_of(cells)
    return sorted(mutate.needed(statements, len(statements) - 1))


@pytest.mark.parametrize("sources, wanted", [
    (("a = 1", "a = 2", "print(a)"), [1, 2]),                                         # the last one that bound it
    (("a = []", "b = []", "a.append(1)", "print(a)"), [0, 2, 3]),                     # a method changes what it is of
    (("a = {}", "a['x'] = 1", "a |= {2: 3}", "print(a)"), [0, 1, 2, 3]),
    (("rows = 1", "def f():\n    return rows", "rows = 2", "print(f())"), [1, 2, 3]),  # a function takes today's rows
    (("name = live()", "for name in 'ab':\n    print(name)"), [1]),                   # a loop binds its own name
    (("x = live()", "print([x for x in 'ab'])"), [1]),                                # a comprehension, too
    (("x = 1", "if 2:\n    x = 2", "print(x)"), [0, 1, 2]),                           # perhaps
    (("import numpy as np", "np.seterr(all='ignore')", "print(np.pi)"), [0, 2]),
    (("x = 1", "with open('a') as x:\n    y = x", "try:\n    z = y\nexcept OSError:\n    0", "print(z)"), [1, 2, 3])])
def test_what_a_statement_needs(sources, wanted):
    assert needs(*sources) == wanted


def test_a_row_notes_whoever_asks_for_its_number():
    for ask in (lambda row: row["value"], lambda row: row.get("value"), lambda row: {**row}, dict,
                lambda row: row | {"seed": 1}, lambda row: list(row.items())):
        noted = []
        ask(mutate.Row({"value": 1, "seed": 0}, lambda noted=noted: noted.append(1)))
        assert noted
    mutate.Row({"value": 1, "seed": 0}, pytest.fail).get("seed")


def test_the_required_chapters_are_there_and_arguments_are_numbers():
    assert set(mutate.REQUIRED) <= {book.number(page) for page in book.chapters()}
    for wrong in (["one"], ["1", "3"], ["77"]):
        with pytest.raises(SystemExit):
            mutate.main(wrong)
