"""What is inside a trained network: its first filters, against the functions that the field compares them with."""
from tlutils.analysis.gabor import filters, gabor_dictionary, gabor_fit, scramble

__all__ = ["filters", "gabor_dictionary", "gabor_fit", "scramble"]
