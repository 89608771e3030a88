"""What is inside a trained network: its first filters, against the functions that the field compares them with."""
from tlutils.analysis.gabor import filters, gabor_dictionary, gabor_fit, scramble
from tlutils.analysis.patches import CODINGS, patch_basis, patches

__all__ = ["CODINGS", "filters", "gabor_dictionary", "gabor_fit", "patch_basis", "patches", "scramble"]
