"""What each measure needs and costs, as implemented here: the table of properties behind the choice of a measure."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What one measure needs beyond the target's images and labels.

    Convention: source_data: samples of the source; training: a network or readout fitted to the target by gradient
        steps; optimisation: any iterative search, such as a mixture or a linear programme; classifier: the source
        model's class predictions, so unsupervised models and inner layers are out; cost for n samples, d features,
        C classes (C_s of the source), on top of one forward pass.
    """

    source_data: bool
    training: bool
    optimisation: bool
    classifier: bool
    cost: str


NEEDS = {
    "taskonomy": Needs(False, True, True, False, "a readout trained per source, all compared"),
    "task2vec": Needs(False, True, True, False, "a head trained, n C backward passes"),
    "rsa": Needs(False, True, True, False, "a network trained on the target, n^2 d"),
    "depara": Needs(False, True, True, False, "a network trained on the target, backward passes, n^2 d"),
    "domain_similarity": Needs(True, False, True, False, "a linear programme of C_s C unknowns, n d"),
    "nce": Needs(False, False, False, True, "n"),
    "leep": Needs(False, False, False, True, "n C_s"),
    "nleep": Needs(False, False, True, False, "PCA, then EM of 5 C Gaussians"),
    "lfc": Needs(False, False, False, False, "n d^2"),
    "h_score": Needs(False, False, False, False, "n d^2 + d^3"),
    "h_score_shrinkage": Needs(False, False, False, False, "n d^2 + d^3"),
    "logme": Needs(False, False, False, False, "n d^2 + d^3, and a search in one variable per class"),
    "transrate": Needs(False, False, False, False, "n d^2 + C d^3"),
}
