"""The way out of secret sprawl: loose keys in files as people have them."""

from ...claim import Claim
from . import finding

CLAIMS = (
    Claim("adopt", "adopt finds every key planted in 60 and more realistic files of ten clients, flags at most 2 % of the "
                   "clean values beside them, and prints none", finding.judge),
)
