"""The way out of secret sprawl: loose keys in files as people have them."""

from ...claim import Claim
from . import finding, rescue

CLAIMS = (
    Claim("adopt", "adopt finds every key planted in 60 and more realistic files of ten clients, flags at most 2 % of the "
                   "clean values beside them, and prints none", finding.judge),
    Claim("adopt-write", "adopt --write moves keys of eleven clients' files into OpenBao and points the files at the gateway, "
                         "proven by a call before and after; no value stays in any of them; undo restores them byte for byte, "
                         "from any SIGKILL", rescue.judge),
)
