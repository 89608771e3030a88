"""Made-up reviews: the shift is in the words, and the labels mean what they say."""
import sys

import numpy as np
import pytest

from tlutils.data import bag_of_words, captions, letter_pictures, numbered, reviews, tokenize, vocabulary

reviews_module = sys.modules["tlutils.data.reviews"]        # the package has a function of the same name


def test_same_seed_same_reviews_and_both_labels_occur():
    first, again, other = (reviews("books", 200, seed) for seed in (3, 3, 4))
    assert first[0] == again[0] and np.array_equal(first[1], again[1]) and first[0] != other[0]
    assert 60 < first[1].sum() < 140 and first[1].dtype == np.int64


def test_products_share_some_words_and_not_others():
    words = {product: set(vocabulary(reviews(product, 1000, 0)[0])) for product in ("books", "kitchen")}
    assert {"great", "terrible", "quiet", "unpredictable"} <= words["books"] & words["kitchen"]
    assert "gripping" in words["books"] - words["kitchen"] and "rusty" in words["kitchen"] - words["books"]


def test_words_carry_the_label_and_two_of_them_turn_round():
    def content(product, word):
        texts, labels = reviews(product, 4000, 1)
        return labels[[f"is {word}" in text for text in texts]].mean()
    assert min(content("books", "great"), content("kitchen", "great"), content("books", "gripping")) > 0.8
    assert max(content("books", "awful"), content("kitchen", "awful"), content("kitchen", "rusty")) < 0.2
    assert content("books", "quiet") < 0.2 < 0.8 < content("kitchen", "quiet")
    assert content("kitchen", "unpredictable") < 0.2 < 0.8 < content("books", "unpredictable")


def test_without_doubt_and_with_shared_words_alone_a_word_decides():
    texts, labels = reviews("kitchen", 500, 0, shared=1.0, doubt=0.0)
    good = [any(word in text for word in ("great", "excellent", "wonderful", "superb", "perfect", "lovely"))
            for text in texts]
    assert np.array_equal(np.array(good, int), labels)


def test_bag_of_words_by_hand():
    texts = ["the plot is dull.", "the lid is great. the lid is great."]
    assert vocabulary(texts, least=1) == ["dull", "great", "is", "lid", "plot", "the"]
    assert vocabulary(texts) == ["is", "the"]
    bag = bag_of_words(texts, ["lid", "plot", "rusty"])
    assert bag.dtype == np.float32 and bag.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(("arguments", "message"), [
    (("cars", 1, 0), "product"), (("books", 0, 0), "n must"), (("books", 1, 0, {"shared": 1.5}), "shared"),
    (("books", 1, 0, {"doubt": -0.1}), "doubt")])
def test_bad_input(arguments, message):
    *plain, more = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with pytest.raises(ValueError, match=message):
        reviews(*plain, **more)


@pytest.mark.parametrize("text, words", [
    ("Great, moving story!", "great moving story"),
    ("\u201cSo good\u201d \u2014 (really); yes: no?", "so good really yes no"),
    ("don't, DON\u2019T", "don't don't"), ("'quoted' the dogs' 'tis", "quoted the dogs tis"),
    ("a well-made, wide\u2011angle film -- slow--but - fine", "a well-made wide-angle film slow but fine"),
    ("3.5 stars/10, 1,000 times", "3 5 stars 10 1 000 times"), ("It cost $5 <br />& 20%", "it cost 5 br 20"),
    ("STRASSE Stra\u00dfe na\u00efve nai\u0308ve", "strasse stra\u00dfe na\u00efve na\u00efve"),
    ("\u043f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0939\u093f\u0928\u094d\u0926\u0940\u0964",
     "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0939\u093f\u0928\u094d\u0926\u0940"),
    ("soft\u00adhyphen \ufeffmark\u200b tab\tline\nend", "softhyphen mark tab line end"),
    ("good\U0001f44d\ufe0f", "good"),
    ("...", ""), ("", ""), (" -' ", "")])
def test_words_of_a_readers_own_text(text, words):
    assert reviews_module._words(text) == words.split()
    known = sorted(set(words.split()))
    assert vocabulary([text], least=1) == known
    assert bag_of_words([text], [*known, "absent"]).tolist() == [[1.0] * len(known) + [0.0]]


def test_made_up_texts_are_cut_as_they_always_were():
    """The records rest on it: small letters, full stops away, cut at blanks."""
    texts = [text for product in ("books", "kitchen") for text in reviews(product, 500, 0)[0]]
    attributes = letter_pictures(300, 0, most=4)[1]
    texts += [text for style in ("long", "mixed") for text in captions(attributes, 0, style=style, told=0.5)]
    for text in texts:
        assert reviews_module._words(text) == text.lower().replace(".", " ").split()


def test_one_text_and_what_is_none():
    assert vocabulary("good good", least=1) == ["good"] and bag_of_words("good", ["good"]).tolist() == [[1]]
    assert vocabulary([]) == [] and bag_of_words([], ["good"]).shape == (0, 1)
    for wrong in ([None], ["good", 3], [b"good"], [float("nan")]):
        for cut in (lambda texts: vocabulary(texts), lambda texts: bag_of_words(texts, ["good"]),
                    lambda texts: tokenize(texts, ["good"])):
            with pytest.raises(ValueError, match="texts must be strings, got a"):
                cut(wrong)


@pytest.mark.parametrize("words", [["Good"], ["good,"], ["not good"], ["good", "good"], [""], [3], "Good"])
def test_words_that_no_text_can_hold_are_named(words):
    for cut in (lambda: bag_of_words(["good"], words), lambda: tokenize(["good"], words, 3)):
        with pytest.raises(ValueError, match="words must be"):
            cut()


def test_one_word_is_no_list_of_letters():
    assert bag_of_words(["g o good"], "good").tolist() == [[1.0]]
    assert tokenize(["o good"], "good", 2).tolist() == [[1, 2]]


def test_words_are_numbered_in_their_order_and_unknown_ones_left_out():
    assert numbered(["The pan is red.", "red is"], ["is", "pan", "red"]).tolist() == [[2, 1, 3], [3, 1, 0]]
    with pytest.raises(ValueError, match="length must be at least 3, got 2"):
        numbered(["is is is"], ["is"], length=2)
    assert numbered(["red, and the pan"], ["pan", "red"], length=4).tolist() == [[2, 1, 0, 0]]
    assert numbered(["nothing known"], ["red"]).shape == (1, 0) and numbered(["red"], ["red"]).dtype == np.int64
    with pytest.raises(ValueError, match="words must be single"):
        numbered(["red"], ["Red"])
