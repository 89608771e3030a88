"""The papers under the letters: stripes keep the letters' contrast, fading adds no stripe; a small run is complete."""
import dataclasses

import numpy as np

from tlutils import data, results
from tlutils.experiments import striped_paper

TINY = dataclasses.replace(striped_paper.LAPTOP, n_source_classes=4, n_source=80, source_steps=3, n_test=40,
                           batch_size=16)


def test_each_paper_is_what_its_equation_says():
    images, _ = data.glyphs(["A", "B"], 6, seed=1)
    made = striped_paper.papers(images, 3)
    stripes = data.gratings(6, 3, noise=0)[0].astype(float) - 127.5
    assert np.array_equal(made["plain"], images)
    for name, contrast, over in (("faded", 2 / 3, 0), ("striped", 1, 0.5), ("both", 2 / 3, 0.5)):
        wanted = np.empty(images.shape)
        for place in np.ndindex(*images.shape):
            wanted[place] = min(max(127.5 + contrast * (images[place] - 127.5) + over * stripes[place], 0), 255)
        np.testing.assert_allclose(made[name], wanted, atol=0.5)
        assert made[name].dtype == np.uint8


def test_no_stripes_and_full_contrast_leave_the_letters_as_they_are():
    images, _ = data.glyphs(["A", "B"], 4, seed=1)
    made = striped_paper.papers(images, 3, contrast=1, stripes=0)
    assert all(np.array_equal(paper, images) for paper in made.values())


def test_a_small_run_gives_complete_rows_and_names_its_data():
    rows = striped_paper.run(TINY, seed=1)
    results.check_rows(rows)
    assert [row["method"] for row in rows] == ["plain", "faded", "striped", "both"]
    assert rows == striped_paper.run(TINY, seed=1)
    parts = striped_paper.EXPERIMENT.describe(TINY)["parts"]
    assert {name: part["n"] for name, part in parts.items()} == {"source": 80} | dict.fromkeys(
        ("plain", "faded", "striped", "both"), 40)
    assert len({part["sha256"] for part in parts.values()}) == 5
