"""Learning without labels: pretext tasks, filling in, contrast, and pictures with captions."""
from tlutils.selfsup.clip_loss import LogitScale, clip_loss
from tlutils.selfsup.masking import imputation_loss, mask_patches
from tlutils.selfsup.moco import MomentumEncoder, Queue, info_nce
from tlutils.selfsup.nt_xent import nt_xent
from tlutils.selfsup.rotation import rotation_batch
from tlutils.selfsup.views import two_views
from tlutils.selfsup.zero_shot import class_vectors, each_alone, zero_shot

__all__ = ["LogitScale", "MomentumEncoder", "Queue", "class_vectors", "clip_loss", "each_alone", "imputation_loss",
           "info_nce", "mask_patches", "nt_xent", "rotation_batch", "two_views", "zero_shot"]
