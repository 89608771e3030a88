"""tlutils: the helper package of the book "What Transfers?". See each module for its functions."""
import importlib

__version__ = "0.1.0"
__all__ = ["setup"]


def __getattr__(name: str):
    """Import `setup` and the modules when they are asked for: results, explore and quiz do without torch."""
    if name == "setup":
        return importlib.import_module("tlutils.start").setup
    if name in ("env", "results"):
        return importlib.import_module(f"tlutils.{name}")
    raise AttributeError(f"module 'tlutils' has no attribute {name!r}")
