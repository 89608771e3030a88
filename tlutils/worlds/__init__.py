"""What networks learn from: tasks, two worlds with their source networks and targets, pools, real photographs."""
from tlutils.worlds.pools import Pool, pool
from tlutils.worlds.sources import (
    CIFAR100,
    FULL,
    GLYPHS,
    TARGETS,
    WORLDS,
    Source,
    World,
    conv8_of,
    reserved,
    shifted,
    source_images,
    source_network,
    source_test,
    target,
    world,
)
from tlutils.worlds.tasks import Task, changed, task, tensors

__all__ = ["CIFAR100", "FULL", "GLYPHS", "TARGETS", "WORLDS", "Pool", "Source", "Task", "World", "changed", "conv8_of",
           "pool", "reserved", "shifted", "source_images", "source_network", "source_test", "target", "task", "tensors",
           "world"]
