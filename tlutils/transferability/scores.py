"""All scores of one model at once: one pass over the features, one Gram matrix for all measures."""
from tlutils.transferability._inputs import Rows
from tlutils.transferability.h_score import h_of
from tlutils.transferability.leep import leep
from tlutils.transferability.lfc import lfc_of
from tlutils.transferability.logme import logme_of
from tlutils.transferability.moments import summary_of
from tlutils.transferability.nce import nce
from tlutils.transferability.transrate import ClassRates


def scores(features, labels=None, *, source_probs=None) -> dict[str, float]:
    """Return transrate, h_score, h_score_shrinkage, logme and lfc; with source_probs also leep and nce.

    Equation: that of each measure, see there; all of them with their defaults.
    Shapes: features (n, d), labels (n,) integers, or ClassMoments alone; source_probs (n, C_s) -> floats by name.
    Convention: the first five come from one summary of the features: counts, class sums and Gram matrices about the
        mean. nce takes the argmax of source_probs for the source label.
    Errors: ValueError where one of the measures would raise one; at least two classes are needed.
    Example:
        >>> found = scores([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
        >>> round(found["h_score"], 4), sorted(found)
        (0.9412, ['h_score', 'h_score_shrinkage', 'lfc', 'logme', 'transrate'])
    """
    rates = ClassRates(eps=1e-4)
    summary = summary_of(features, labels, visit=rates.add, about="mean")
    found = {"transrate": rates.transrate(summary, "proportional"), "h_score": h_of(summary, shrinkage=False),
             "h_score_shrinkage": h_of(summary, shrinkage=True), "logme": logme_of(summary), "lfc": lfc_of(summary)}
    if source_probs is not None:
        found["leep"] = leep(source_probs, labels)
        found["nce"] = nce(Rows(source_probs, name="source_probs").argmax(), labels)
    return found
