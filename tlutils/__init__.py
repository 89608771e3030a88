"""tlutils: the helper package of the book "What Transfers?". See each module for its functions."""
from tlutils.env import setup

__version__ = "0.1.0"
__all__ = ["setup"]
