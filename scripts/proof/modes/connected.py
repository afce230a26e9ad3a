"""What the claims about grants share: an enterprise whose people connect their accounts at a provider."""

from urllib.parse import urlencode

from ..gateway import Gateway
from ..manifests import configuration, environment, notes, policy, provider, sourced, together
from ..provider import CODE, REFRESH, AuthorizationServer
from ..upstreams import OAuthServer
from .house import Door

READ, WRITE = "notes:read", "notes:write"
PEOPLE = {"alice": {}, "bob": {}}
CALLBACK, CONNECT, GRANTS = "/connect/callback", "/connect", "/grants"


class Enterprise:
    """An identity provider for people, a provider of notes whose tokens are opaque, and the server that asks it."""

    def __init__(self, stage, name, seconds=600, state=None, gateways=1):
        self.stage, self.name = stage, name
        stage.openbao.writable(f"grants-{name}")
        self.idp = AuthorizationServer(stage, f"{name}-idp", "127.0.0.2", "mcp:tools", people=PEOPLE)
        self.notes = AuthorizationServer(stage, f"{name}-notes", "127.0.0.1", f"{READ} {WRITE}", "opaque", PEOPLE)
        self.gateways = [self.gateway(number, state) for number in range(gateways)]
        backs = [f"{gateway.public_url}/login/callback" for gateway in self.gateways]
        stage.openbao.put(f"kv/{name}/login", self.idp.client("gateway", CODE, redirect_uris=backs))
        self.idp.public_client()
        self.secret = self.notes.client(
            "gateway", CODE, REFRESH, access_token_ttl=seconds,
            redirect_uris=[f"{gateway.public_url}{CALLBACK}" for gateway in self.gateways])
        stage.openbao.put(f"kv/{name}/notes", self.secret)
        self.asker = self.notes.client("notes-server", "client_credentials")
        self.idp.start()
        self.notes.start()
        self.upstream = OAuthServer(stage, f"{name}-upstream", self.notes.url, introspect=("notes-server", self.asker.value))
        for number, gateway in enumerate(self.gateways):
            gateway.start()
            if number == 0:
                gateway.log_in().apply(self.manifests())

    def gateway(self, number, state):
        text = configuration(self.stage, ["notes"], more=f"""login:
  issuer: {self.idp.url}
  client_id: gateway
  client_secret: "bao://kv/{self.name}/login#token"
  key_file: {self.stage.folder / 'tokens' / f'{self.name}-login.key'}
{f'state_password_file: {state.gateway_password}' if state else ''}
""", **({"state": state.url} if state else {}))
        people = (f"    - issuer: {self.idp.url}\n      audiences: [{{ value: \"http://@LISTEN@/mcp/dev/notes\", "
                  "environment: dev, servers: [notes] }]\noperators:\n")
        text = text.replace("operators:\n", people, 1)
        text = text.replace("    environments: [dev]\n", f"    environments: [dev]\n    writable: [kv/grants-{self.name}/]\n", 1)
        return Gateway(self.stage, f"{self.name}-{number}" if number else self.name, text)

    def manifests(self):
        client = f'{{ id: gateway, authentication: {{ client_secret_basic: {{ secret: "bao://kv/{self.name}/notes#token" }} }} }}'
        source = (f'{{ grant: {{ provider: notes, scopes: ["{READ}"], resource: "{self.upstream.url}", '
                  f'tool_scopes: [{{ tools: [write_notes], scopes: ["{WRITE}"] }}] }} }}')
        users = ", ".join(f'"{self.idp.url}|{name}"' for name in PEOPLE)
        return together(
            environment(), policy(condition='context.risk != "destructive"').replace("principal has agent", "true"),
            notes(self.upstream.url),
            provider("notes", self.notes.url, client, more=f"grants: bao://kv/grants-{self.name}\n"),
            sourced("notes-by-grant", source, f"{{ users: [{users}] }}", "user_delegated"),
        )

    def caller(self, person, number=0):
        gateway = self.gateways[number]
        return Door(self.stage, gateway, "notes", self.idp.person(person, gateway.door("dev", "notes")), self.upstream)

    def page(self, number=0, **query):
        """The connect page for the notes."""
        more = f"?{urlencode(query)}" if query else ""
        return f"{self.gateways[number].public_url}{CONNECT}/dev/notes{more}"

    def kept(self, grant):
        """The tokens of a grant, as the store has them."""
        return self.stage.openbao.read(f"kv/grants-{self.name}/{grant}")

    def kept_any(self):
        """The names of the grants whose tokens the store has."""
        return self.stage.openbao.names(f"kv/grants-{self.name}")

    def stop(self):
        for gateway in self.gateways:
            gateway.keep_metrics()
            gateway.stop()
