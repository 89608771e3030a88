"""Adapters: a few new parameters inside a frozen network, as good as absent before training, and folded in after it."""
from tlutils.adapters.insert import KINDS, insert, merge, trainable_parameters
from tlutils.adapters.layers import BottleneckAdapter, LoRALinear, LowRank, ParallelAdapter, SeriesAdapter

__all__ = ["KINDS", "BottleneckAdapter", "LoRALinear", "LowRank", "ParallelAdapter", "SeriesAdapter", "insert", "merge",
           "trainable_parameters"]
