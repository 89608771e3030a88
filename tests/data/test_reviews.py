"""Made-up reviews: the shift is in the words, and the labels mean what they say."""
import numpy as np
import pytest

from tlutils.data import bag_of_words, reviews, vocabulary


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
