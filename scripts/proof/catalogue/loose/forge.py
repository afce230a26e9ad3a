"""Keys as their issuers make them, made anew by each run: no key that looks real stands in any file of ours."""

import base64
import json
import random
import string

ALNUM = string.ascii_letters + string.digits
URL64 = ALNUM + "-_"
HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"

# prefix, letters, length
PREFIXED = {
    "github": ("ghp_", ALNUM, 36), "github-oauth": ("gho_", ALNUM, 36), "github-app": ("ghs_", ALNUM, 36),
    "github-fine": ("github_pat_", ALNUM, 82), "gitlab": ("glpat-", ALNUM, 20), "anthropic": ("sk-ant-api03-", URL64, 93),
    "openai": ("sk-proj-", ALNUM, 48), "openrouter": ("sk-or-v1-", HEX, 64), "deepseek": ("sk-", HEX, 32),
    "groq": ("gsk_", ALNUM, 52), "xai": ("xai-", ALNUM, 80), "perplexity": ("pplx-", ALNUM, 48),
    "huggingface": ("hf_", ALNUM, 34), "replicate": ("r8_", ALNUM, 37), "nvidia": ("nvapi-", URL64, 64),
    "cerebras": ("csk-", ALNUM, 48), "fireworks": ("fw_", ALNUM, 24), "langsmith": ("lsv2_pt_", HEX, 32),
    "pinecone": ("pcsk_", ALNUM, 64), "tavily": ("tvly-dev-", ALNUM, 32), "firecrawl": ("fc-", HEX, 32),
    "jina": ("jina_", ALNUM, 60), "apify": ("apify_api_", ALNUM, 36), "brave": ("BSA", ALNUM, 28),
    "aws-id": ("AKIA", BASE32, 16), "aws-secret": ("", ALNUM + "+/", 40), "google": ("AIza", URL64, 35),
    "google-client": ("GOCSPX-", URL64, 28), "stripe": ("sk_live_", ALNUM, 24), "stripe-restricted": ("rk_live_", ALNUM, 24),
    "webhook": ("whsec_", ALNUM, 32), "npm": ("npm_", ALNUM, 36), "pypi": ("pypi-AgEIcHlwaS5vcmc", URL64, 120),
    "docker": ("dckr_pat_", URL64, 27), "digitalocean": ("dop_v1_", HEX, 64), "vault": ("hvs.", ALNUM, 90),
    "databricks": ("dapi", HEX, 32), "shopify": ("shpat_", HEX, 32), "linear": ("lin_api_", ALNUM, 40),
    "notion": ("ntn_", ALNUM, 46), "figma": ("figd_", URL64, 40), "atlassian": ("ATATT3xFfGF0", URL64, 170),
    "airtable": ("pat", ALNUM, 14), "grafana": ("glsa_", ALNUM, 41), "postman": ("PMAK-", HEX, 24),
    "newrelic": ("NRAK-", string.ascii_uppercase + string.digits, 27), "supabase": ("sbp_", HEX, 40),
    "doppler": ("dp.pt.", ALNUM, 43), "pulumi": ("pul-", HEX, 40), "tailscale": ("tskey-auth-", ALNUM, 30),
    "sentry": ("sntryu_", HEX, 64), "mailgun": ("key-", HEX, 32), "resend": ("re_", ALNUM, 32),
    "posthog": ("phx_", ALNUM, 43), "netlify": ("nfp_", ALNUM, 36), "heroku": ("HRKU-", URL64, 60),
    "planetscale": ("pscale_tkn_", URL64, 43), "neon": ("napi_", ALNUM, 64), "contentful": ("CFPAT-", URL64, 43),
    "bitbucket": ("ATBB", ALNUM, 32), "twilio": ("SK", HEX, 32), "slack-app": ("xapp-1-A0", ALNUM, 60),
    "hex32": ("", HEX, 32), "hex40": ("", HEX, 40), "hex64": ("", HEX, 64), "base62": ("", ALNUM, 32),
    "base62-40": ("", ALNUM, 40), "url64": ("", URL64, 43), "gateway": ("mcpgw_", ALNUM, 48),
}


class Forge:
    """Reproducible by its seed."""

    def __init__(self, seed):
        self.noise = random.Random(seed)
        # The last one of each kind, for templates that repeat a value.
        self.last = {}

    def some(self, letters, length):
        return "".join(self.noise.choice(letters) for _ in range(length))

    def make(self, kind):
        made = self._made(kind)
        # A key that looks like words exists (four of a thousand with 32 letters and digits, found by chance alone), but a
        # run must not depend on the luck of one.
        while not (any(c.isdigit() for c in made) and any(c.isalpha() for c in made)) or kind.startswith("base62") and wordy(made):
            made = self._made(kind)
        self.last[kind] = made
        return made

    def _made(self, kind):
        if kind in PREFIXED:
            prefix, letters, length = PREFIXED[kind]
            body = self.some(letters, length)
            # No issuer's encoding begins or ends with a sign.
            body = self.some(HEX, 1) + body[1:-1] + self.some(HEX, 1) if letters in (URL64, ALNUM + "+/") else body
            return prefix + body + {"postman": f"-{self.some(HEX, 34)}", "langsmith": f"_{self.some(HEX, 10)}",
                                    "airtable": f".{self.some(HEX, 64)}"}.get(kind, "")
        return getattr(self, "_" + kind.replace("-", "_"))()

    def _slack(self):
        return f"xoxb-{self.some(string.digits, 12)}-{self.some(string.digits, 13)}-{self.some(ALNUM, 24)}"

    def _sendgrid(self):
        return f"SG.{self.some(ALNUM, 22)}.{self.some(ALNUM, 43)}"

    def _telegram(self):
        return f"{self.some('123456789', 10)}:AA{self.some(URL64, 32)}x"

    def _azure_storage(self):
        return base64.b64encode(self.noise.randbytes(64)).decode()

    def _azure_client(self):
        return f"{self.some(ALNUM, 3)}8Q~{self.some(ALNUM, 34)}"

    def _discord(self):
        head = base64.b64encode(self.some(string.digits, 18).encode()).decode().rstrip("=")
        return f"{head}.G{self.some(ALNUM, 5)}.{self.some(URL64, 37)}x"

    def _uuid(self):
        return "-".join(self.some(HEX, length) for length in (8, 4, 4, 4, 12))

    def _password(self):
        return f"{self.some(string.ascii_letters, 7)}!{self.some(string.digits, 2)}{self.some(ALNUM, 5)}"

    def _awkward(self):
        """JSON and others have to escape it."""
        return f'{self.some(ALNUM, 14)}"\\/{self.some(ALNUM, 14)}'

    def _percent(self):
        return f"{self.some(ALNUM, 7)}%21{self.some(ALNUM, 7)}%2F{self.some(string.digits, 2)}"

    def _jwt(self):
        def part(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        head = part({"alg": "RS256", "typ": "JWT", "kid": self.some(HEX, 8)})
        body = part({"sub": self.some(HEX, 12), "iat": self.noise.randrange(1_700_000_000, 1_800_000_000)})
        return f"{head}.{body}.{self.some(ALNUM, 86)}"

    def _pem(self):
        label = "PRIVATE KEY"
        lines = [self.some(ALNUM + "+/", 64) for _ in range(4)]
        return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])

    # What is as random as a key, and is none

    def _commit(self):
        return self.some(HEX, 40)

    def _digest(self):
        return f"sha256:{self.some(HEX, 64)}"

    def _integrity(self):
        return f"sha512-{base64.b64encode(self.noise.randbytes(64)).decode()}"

    def _image(self):
        return f"data:image/png;base64,iVBORw0KGgo{base64.b64encode(self.noise.randbytes(150)).decode()}"

    def _ssh_public(self):
        return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{self.some(ALNUM + '+/', 43)}"

    def _spki(self):
        body = base64.b64encode(self.noise.randbytes(91)).decode()
        return f"-----BEGIN PUBLIC KEY-----\n{body[:64]}\n{body[64:]}\n-----END PUBLIC KEY-----"

    def _trace(self):
        return f"00-{self.some(HEX, 32)}-{self.some(HEX, 16)}-01"

    def _ulid(self):
        return f"01J{self.some('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 23)}"

    def _go_sum(self):
        return f"h1:{base64.b64encode(self.noise.randbytes(32)).decode()}"

    def _publishable(self):
        return f"pk_live_{self.some(ALNUM, 24)}"


# What documentation prints in the place of a key. Put together here, so that no scanner takes this file for a leak.
EXAMPLES = {
    "aws-id": "AKIA" + "IOSFODNN7" + "EXAMPLE",
    "aws-secret": "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCY" + "EXAMPLEKEY",
    "stripe": "sk_test_" + "4eC39HqLyj" + "WDarjtT1zdp7dc",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
           + ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
}


def wordy(made):
    """Few digits, or long runs of letters of one case."""
    sorts = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in made]
    return sorts.count("d") < 3 or sum(a != b for a, b in zip(sorts, sorts[1:])) * 2 < len(made)
