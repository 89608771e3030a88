"""Transferability measures: which pretrained model, and which of its layers, before any training."""
from tlutils.transferability.h_score import h_score
from tlutils.transferability.leep import leep
from tlutils.transferability.lfc import lfc
from tlutils.transferability.logme import logme
from tlutils.transferability.moments import ClassMoments
from tlutils.transferability.nce import nce
from tlutils.transferability.nleep import nleep
from tlutils.transferability.rank_correlation import Correlation, rank_correlation
from tlutils.transferability.scores import scores
from tlutils.transferability.transrate import coding_rate, transrate

__all__ = ["ClassMoments", "Correlation", "coding_rate", "h_score", "leep", "lfc", "logme", "nce", "nleep",
           "rank_correlation", "scores", "transrate"]
