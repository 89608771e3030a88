"""Learning without labels: pretext tasks, filling in, contrast, and pictures with captions."""
from tlutils.selfsup.alignment import alignment_loss, spread
from tlutils.selfsup.clip_loss import LogitScale, clip_loss
from tlutils.selfsup.cloze import FillIn, mean_vector
from tlutils.selfsup.masking import decoder, imputation_loss, mask_patches
from tlutils.selfsup.moco import MoCoLoss, MomentumEncoder, Queue, info_nce
from tlutils.selfsup.nt_xent import nt_xent, projection_head
from tlutils.selfsup.rotation import rotation_batch
from tlutils.selfsup.siamese import Siamese, pair_batch
from tlutils.selfsup.views import two_views
from tlutils.selfsup.zero_shot import class_vectors, each_alone, zero_shot

__all__ = ["FillIn", "LogitScale", "MoCoLoss", "MomentumEncoder", "Queue", "Siamese", "alignment_loss",
           "class_vectors", "clip_loss", "decoder", "each_alone", "imputation_loss", "info_nce", "mask_patches",
           "mean_vector", "nt_xent", "pair_batch", "projection_head", "rotation_batch", "spread", "two_views",
           "zero_shot"]
