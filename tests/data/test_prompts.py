"""Prompts ask for every value in every setting; the right answer to each."""
import numpy as np
import pytest

from tlutils.data import prompts


def test_prompts_ask_for_every_value_in_every_setting():
    assert prompts.filled("the letter {letter}", "letter") == [[f"the letter {c}"] for c in prompts.NAMES["letter"]]
    full = prompts.filled(prompts.FULL, "letter")
    assert len(full) == 16 and {len(group) for group in full} == {8 * 4 * 2} and len(set(sum(full, []))) == 16 * 64
    pairs = prompts.filled(prompts.FULL, "pair")
    assert len(pairs) == 128 and len(pairs[0]) == 8 and " red letter b " in pairs[8][0]
    one = prompts.filled(prompts.FULL, "size", letter="k", colour="crimson", ground="plain")
    assert one == [[f"a photo of a {size} crimson letter k on a plain background"] for size in ("small", "large")]
    assert sorted(prompts.SALAD.split()) == sorted(prompts.FULL.split())


def test_labels():
    a = {"letter": np.array([0, 15]), "colour": np.array([3, 7]), "count": np.array([1, 3])}
    assert prompts.label(a, "pair").tolist() == [3, 127] and prompts.label(a, "count").tolist() == [0, 2]
    assert prompts.label(a, "colour").tolist() == [3, 7]


def test_an_unknown_attribute_is_named():
    with pytest.raises(ValueError, match="attribute must be .* got 'mood'"):
        prompts.filled("a {mood} {letter}", "mood")
    with pytest.raises(ValueError, match="attribute must be pair or one of letter, got 'mood'"):
        prompts.label({"letter": np.zeros(2, int)}, "mood")
