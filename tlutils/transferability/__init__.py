"""Transferability measures: which pretrained model, and which of its layers, before any training."""
from tlutils.transferability.depara import depara
from tlutils.transferability.domain_similarity import domain_similarity
from tlutils.transferability.h_score import h_score
from tlutils.transferability.leep import leep
from tlutils.transferability.lfc import lfc
from tlutils.transferability.logme import logme
from tlutils.transferability.moments import ClassMoments
from tlutils.transferability.nce import nce
from tlutils.transferability.needs import NEEDS, Needs
from tlutils.transferability.nleep import nleep
from tlutils.transferability.rank_correlation import Correlation, rank_correlation
from tlutils.transferability.rsa import rsa
from tlutils.transferability.scores import scores
from tlutils.transferability.task2vec import task2vec, task2vec_similarity
from tlutils.transferability.taskonomy import taskonomy
from tlutils.transferability.transrate import coding_rate, transrate

__all__ = ["NEEDS", "ClassMoments", "Correlation", "Needs", "coding_rate", "depara", "domain_similarity", "h_score",
           "leep", "lfc", "logme", "nce", "nleep", "rank_correlation", "rsa", "scores", "task2vec",
           "task2vec_similarity", "taskonomy", "transrate"]
