"""tlutils: the helper package of the book "What Transfers?", layer by layer; each may use what stands above it here.

    arrays           numbers of any precision, from lists, arrays and tensors
    env              device, seeds, scale, versions
    results          rows with one vocabulary, recorded runs with their provenance, published numbers, checked claims
    surgery          take a network apart: copy, freeze, replace the head, adapt statistics, capture
    selfsup          learn without labels: rotation, masking, Siamese pairs, NT-Xent, MoCo, CLIP, cloze
    domain           two domains: gradient reversal, CORAL, MMD, proxy A-distance, reverse validation
    transferability  scores before any training: TransRate, LogME, H-Score, LEEP, N-LEEP, NCE, LFC, ...
    data             embedded and real data sets, domain shifts, captions and reviews
    models           small networks, and torchvision's pretrained ones in named blocks
    train            one visible loop, schedules; predict, evaluate, features
    pretraining      the loop on two views that all pretraining without labels shares
    adapters         a few new parameters in a frozen network, exact at the start, folded in at the end
    figures          how a figure is shown: SVG, or a sharp picture
    analysis         what a network consists of: first-layer filters, Gabor functions, parts of patches
    probes           how good are frozen features: linear probe, nearest neighbours
    worlds           tasks, source networks and their targets, pools without labels, pairs of domains
    zoo              seventeen small checkpoints
    experiments      one file a recorded experiment:  python -m tlutils.experiments --list
    plotting, explore, quiz    figures from arrays, figures that live on the page, questions
    start            the first cell of a chapter
"""
import importlib

__version__ = "0.2.0"
__all__ = ["setup"]


def __getattr__(name: str):
    """Import `setup` and the modules when they are asked for: results, explore and quiz do without torch."""
    if name == "setup":
        return importlib.import_module("tlutils.start").setup
    if name in ("env", "results"):
        return importlib.import_module(f"tlutils.{name}")
    raise AttributeError(f"module 'tlutils' has no attribute {name!r}")
