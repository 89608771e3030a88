"""Learning without labels: pretext tasks."""
from tlutils.selfsup.rotation import rotation_batch

__all__ = ["rotation_batch"]
