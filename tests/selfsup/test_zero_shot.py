"""Zero-shot classification: cosines to the mean direction of each class's prompts, whatever makes the features."""
import math

import numpy as np
import pytest
import torch

from tlutils import selfsup

DIRECTIONS = {"east": (1.0, 0.0), "far east": (7.0, 0.0), "north": (0.0, 2.0), "west": (-1.0, 0.0)}


def encode(texts):
    return torch.tensor([DIRECTIONS[text] for text in texts])


def test_an_ensemble_is_the_mean_direction_and_one_prompt_is_itself():
    vectors = selfsup.class_vectors(encode, [["far east"], ["north"]])
    torch.testing.assert_close(vectors, torch.eye(2))
    both = selfsup.class_vectors(encode, [["far east", "north"], ["north", "north"]])     # lengths have no say
    torch.testing.assert_close(both, torch.tensor([[math.sqrt(0.5), math.sqrt(0.5)], [0, 1]]))


def test_class_vectors_are_those_of_the_equation_for_groups_of_any_size():
    rng = np.random.default_rng(0)
    table, sizes = rng.normal(size=(9, 5)), (1, 3, 5)
    groups = [[str(i) for i in range(start, start + size)] for start, size in zip((0, 1, 4), sizes, strict=True)]
    found = selfsup.class_vectors(lambda texts: torch.from_numpy(table[[int(text) for text in texts]]), groups)
    for vector, group in zip(found.numpy(), groups, strict=True):
        m = sum(table[int(text)] / np.linalg.norm(table[int(text)]) for text in group) / len(group)
        np.testing.assert_allclose(vector, m / np.linalg.norm(m))


def test_zero_shot_takes_the_most_similar_text_whatever_the_length_of_an_image():
    z = torch.tensor([[3.0, 1.0], [0.1, 0.2], [-5.0, 4.0]])
    assert selfsup.zero_shot(encode, z, [["east"], ["north"], ["west"]]).tolist() == [0, 1, 2]
    assert selfsup.zero_shot(encode, 100 * z, [["north"], ["west"], ["east"]]).tolist() == [2, 0, 1]


def test_all_prompts_are_encoded_at_once():
    asked = []

    def count(texts):
        asked.append(list(texts))
        return encode(texts)

    selfsup.zero_shot(count, torch.eye(2), [["east", "far east"], ["north"]])
    assert asked == [["east", "far east", "north"]]


def test_prompts_one_at_a_time():
    assert selfsup.each_alone([["a", "b"], ["c", "d"]]) == [[["a"], ["c"]], [["b"], ["d"]]]
    with pytest.raises(ValueError, match=r"as many prompts for each class, got \[2, 1\]"):
        selfsup.each_alone([["a", "b"], ["c"]])


@pytest.mark.parametrize("texts", [[], [["east"], []], ["east", "north"]])
def test_a_class_without_prompts_is_refused(texts):
    with pytest.raises(ValueError, match="texts must hold a list of prompts, at least one, for each class"):
        selfsup.class_vectors(encode, texts)


def test_features_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"z must be \(n, 2\), as the features of texts are, got \(4, 3\)"):
        selfsup.zero_shot(encode, torch.zeros(4, 3), [["east"]])
    with pytest.raises(ValueError, match=r"encode must give a row for each of 2 texts, got \(1, 2\)"):
        selfsup.class_vectors(lambda texts: encode(texts[:1]), [["east"], ["north"]])
