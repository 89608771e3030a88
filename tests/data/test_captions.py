"""Pictures with captions: the words say what is on the picture, and what is held out stays out."""
import numpy as np
import pytest
import torch

from tlutils.data import captions, held_out_pairs, letter_pictures, tokenize, vocabulary
from tlutils.data.captions import _RGB, LETTERS, TIMES, WORDS


def known(name, value):
    """Return the words that a caption may use for a value: all but the last, unless there is one alone."""
    words = WORDS[name][value]
    return words[:max(1, len(words) - 1)]


def test_same_seed_same_pictures_and_captions_and_the_global_state_is_left_alone():
    torch.manual_seed(7)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    (first, a), (again, b), (other, c) = (letter_pictures(60, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert captions(a, 1) == captions(b, 1) != captions(a, 2)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_shapes_types_and_ranges():
    images, a = letter_pictures(50, 0, most=4, side=20)
    assert images.shape == (50, 20, 20, 3) and images.dtype == np.uint8
    assert set(a) == {"letter", "colour", "ground", "size", "count"}
    assert all(values.dtype == np.int64 and values.shape == (50,) for values in a.values())
    assert all(0 <= a[name].min() and a[name].max() < len(words) for name, words in WORDS.items())
    assert set(a["count"]) == {1, 2, 3, 4} and set(letter_pictures(20, 0)[1]["count"]) == {1}


@pytest.mark.parametrize("n", [1, 3, 7])
def test_held_out_pairs_are_fair_and_stay_out(n):
    held = held_out_pairs(n, seed=5)
    assert (held.sum(1) == n).all() and (held.sum(0) == 2 * n).all()
    for pairs in (held, ~held):
        _, a = letter_pictures(4 * pairs.sum(), 0, pairs=pairs)
        drawn = np.zeros_like(held, dtype=int)
        np.add.at(drawn, (a["letter"], a["colour"]), 1)
        assert np.array_equal(drawn, 4 * pairs)
    assert not np.array_equal(held, held_out_pairs(n, seed=6))


def test_the_letter_has_its_colour_and_a_large_one_more_ink():
    images, a = letter_pictures(800, 1)
    pixels = images.reshape(800, -1, 3) / 255
    colourful = pixels.max(2) - pixels.min(2)
    vivid = a["colour"] != 7                                                     # white has no hue to see it by
    ink = np.stack([p[c > 0.6 * c.max()].mean(0) for p, c in zip(pixels, colourful, strict=True)])
    nearest = np.abs(ink[:, None] - _RGB).sum(2).argmin(1)
    assert (nearest == a["colour"])[vivid].mean() > 0.9
    amount = (colourful > 0.3).sum(1)
    assert amount[(a["size"] == 1) & vivid].mean() > 1.5 * amount[(a["size"] == 0) & vivid].mean()


def test_copies_add_ink_and_do_not_cover_each_other():
    images, a = letter_pictures(2000, 2, most=4)
    amount = (np.ptp(images.astype(float), axis=3) > 75).sum((1, 2))
    mean = [amount[(a["count"] == k) & (a["colour"] != 7)].mean() for k in (1, 2, 3, 4)]
    assert np.allclose(np.array(mean) / mean[0], (1, 2, 3, 4), rtol=0.2)


def test_a_long_caption_names_everything_and_no_caption_uses_the_words_kept_back():
    _, a = letter_pictures(300, 0)
    texts = captions(a, 0)
    for i, text in enumerate(texts):
        said = text.split()
        assert len(said) >= 8
        assert all(set(known(name, a[name][i])) & set(said) for name in WORDS), text
    kept_back = {words[-1] for name in ("colour", "ground", "size") for words in WORDS[name]}
    spoken = set(vocabulary(texts + captions(a, 0, style="mixed"), least=1))
    assert not kept_back & spoken
    assert {word for name in WORDS for k in range(len(WORDS[name])) for word in known(name, k)} <= spoken


def test_half_of_the_mixed_captions_tell_only_a_part():
    _, a = letter_pictures(1000, 0)
    short = np.array([len(text.split()) < 8 for text in captions(a, 0, style="mixed")])
    assert 0.4 < short.mean() < 0.6


def test_how_often_is_told_as_often_as_asked():
    _, a = letter_pictures(600, 0, most=3)
    told = ["drawn" in text for text in captions(a, 0, told=0.3)]
    assert 0.22 < np.mean(told) < 0.38 and not any("drawn" in text for text in captions(a, 0))
    assert all(text.endswith(f"drawn {TIMES[count - 1]}") for text, count in
               zip(captions(a, 0, told=1.0), a["count"], strict=True))


def test_tokens_by_hand():
    tokens = tokenize(["A red B", "mauve"], ["a", "b", "red"], length=4)
    assert tokens.tolist() == [[2, 4, 3, 0], [1, 0, 0, 0]] and tokens.dtype == np.int64
    assert tokenize(["A letter"], ["a"], 2).tolist() == tokenize(["a LETTER"], ["a"], 2).tolist()


def test_letters_are_distinct_words():
    assert len(set(LETTERS)) == 16 == len(WORDS["letter"])
    words = [word for values in WORDS.values() for group in values for word in group]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(("call", "says"), [
    (lambda: held_out_pairs(0, 0), "n must be"), (lambda: held_out_pairs(8, 0), "n must be"),
    (lambda: letter_pictures(0, 0), "n >= 1"), (lambda: letter_pictures(5, 0, most=5), "most in 1..4"),
    (lambda: letter_pictures(5, 0, side=4), "side >= 8"),
    (lambda: letter_pictures(5, 0, pairs=np.ones((2, 2), bool)), "pairs must be bool"),
    (lambda: letter_pictures(5, 0, pairs=np.zeros((16, 8), bool)), "pairs must be bool"),
    (lambda: letter_pictures(5, 0, pairs=np.ones((16, 8))), "pairs must be bool"),
    (lambda: captions(letter_pictures(2, 0)[1], 0, style="rhymed"), "style must be"),
    (lambda: captions(letter_pictures(2, 0)[1], 0, told=1.5), "told must be"),
    (lambda: tokenize(["a b c"], ["a"], length=2), "1 to 2 words, got 3"),
    (lambda: tokenize([" . "], ["a"]), "1 to 16 words, got 0")])
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_tokens_of_a_readers_own_caption():
    words = ["a", "large", "red"]
    assert tokenize(["a red, large A?"], words, 4).tolist() == [[2, 4, 3, 2]]
    assert tokenize("(A) Red-dish!", words, 3).tolist() == [[2, 1, 0]]
    for empty in ("", "?!", "\u2014"):
        with pytest.raises(ValueError, match="must have 1 to 3 words, got 0"):
            tokenize([empty], words, 3)
