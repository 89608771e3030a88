"""One task, two domains: gradient reversal, and what to measure it against."""
from tlutils.domain.a_distance import proxy_a_distance
from tlutils.domain.coral import coral
from tlutils.domain.dann import DomainClassifier, dann_loss, domain_loss
from tlutils.domain.distance_loss import distance_loss
from tlutils.domain.grad_reverse import grad_reverse, grl_schedule
from tlutils.domain.mmd import mmd
from tlutils.domain.reverse_validation import reverse_validation

__all__ = ["DomainClassifier", "coral", "dann_loss", "distance_loss", "domain_loss", "grad_reverse", "grl_schedule",
           "mmd", "proxy_a_distance", "reverse_validation"]
