"""Adapters: a few new parameters inside a frozen network, as good as absent before training, and folded in after it."""
from tlutils.adapters.insert import KINDS, insert, low_rank, merge, trainable_parameters
from tlutils.adapters.layers import BottleneckAdapter, LoRALinear, LowRank, ParallelAdapter, SeriesAdapter
from tlutils.adapters.task_state import norms, stored_bytes, task_state

__all__ = ["KINDS", "BottleneckAdapter", "LoRALinear", "LowRank", "ParallelAdapter", "SeriesAdapter", "insert",
           "low_rank", "merge", "norms", "stored_bytes", "task_state", "trainable_parameters"]
