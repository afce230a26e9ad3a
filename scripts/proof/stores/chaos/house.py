"""What the chaos happens to: gateways on SQLite and on PostgreSQL, real upstreams, the store, and lines that can break."""

from ...manifests import agent, binding, configuration, environment, policy, server, together
from ...postgres import Postgres
from .relay import Relay
from ...telemetry import Rsyslog
from ...transparency import processes
from ...upstreams import Log, Workshop
from .station import Lately, Station

ISSUES, PROCESS, BRIEF = "issues", "trouble", "brief"
CACHE_SECONDS, ROUTE_SECONDS, STALE_SECONDS = 2, 4, 4
# Kept in every place that is full, hangs or is dead only for so long; see the schedule.
SINK = ', sink: { url: "@SINK@", timeout_seconds: 3 }, reserve_bytes: 65536, checkpoint_seconds: 2'


class House:
    """`alone` has its state in SQLite and runs processes; `first` and `second` share a PostgreSQL."""

    def __init__(self, stage, seed):
        self.stage = stage
        self.workshop = Workshop(stage, "chaos")
        self.upstream = Relay(self.workshop.url, seed)
        self.store = Relay(stage.openbao.address, seed + 1)
        self.credentials = []
        self.folder = stage.folder / "chaos-programs"
        self.folder.mkdir()
        self.process_log = Log(self.folder / "process-calls.jsonl")
        self.database = Postgres(stage, "postgres-chaos")
        # A gateway that starts while its state sleeps gives up, and is started again.
        self.state_asleep = Lately()
        self.syslog = Rsyslog(stage, "chaos-syslog")
        self.alone = Station(stage, "chaos-alone", self._alone(), seed + 2)
        self.pair = [Station(stage, f"chaos-{name}", self._paired(), seed + 3) for name in ("first", "second")]
        self.stations = [self.alone, *self.pair]
        for station in self.pair:
            station.excused = self.state_asleep.holds
        self.tokens = {}

    def _configuration(self, servers, **more):
        text = configuration(self.stage, servers, cache_seconds=CACHE_SECONDS, audit=SINK, **more)
        return text.replace(f"address: {self.stage.openbao.address}", f"address: {self.store.url}")

    def _alone(self):
        section = processes.section([processes.trouble(self.folder)], processes=16, idle_seconds=600,
                                    directory=str(self.stage.folder / "chaos-private"))
        text = self._configuration([ISSUES, PROCESS], more=section)
        syslog = f', sinks: [{{ syslog: {{ address: "{self.syslog.address}", confirm_seconds: 3 }} }}]'
        return text.replace(SINK, SINK + syslog)

    def _paired(self):
        limits = f"{{ staleness_production_seconds: {STALE_SECONDS}, staleness_other_seconds: {STALE_SECONDS} }}"
        more = f"state_password_file: {self.database.gateway_password}\nlimits: {limits}\n"
        return self._configuration([ISSUES, BRIEF], state=self.database.url, more=more)

    def begin(self):
        """Everything runs, and what is needed is applied; nothing is broken yet."""
        self.renew()
        first, second = self.pair
        self.alone.begin().gateway.log_in()
        first.begin().gateway.log_in()
        second.begin().gateway.borrow_operator(first.gateway)
        self.alone.gateway.apply(together(*self._objects(), self._process(),
                                          processes.binding("processes", PROCESS, "bao://kv/chaos/process#token", "triage-bot")))
        first.gateway.apply(together(*self._objects(), self._registered(BRIEF)))
        for station in self.stations:
            station.watch()
        return self

    def _objects(self):
        return [environment(), self._registered(ISSUES), agent(self.stage, "triage-bot"), agent(self.stage, "steady-bot"),
                agent(self.stage, "dev-bot"), policy(condition='context.risk != "destructive"').replace(
                    'action == Action::"call_tool"', "action"),
                binding("issues", "bao://kv/chaos/issues#token", "triage-bot, steady-bot", more='methods: ["*"]\n')]

    def _registered(self, name):
        return server(self.upstream.url, name).replace(
            "addresses: [loopback]", f"addresses: [loopback], timeout_seconds: {ROUTE_SECONDS}")

    def _process(self):
        command = processes.trouble(self.folder, processes.VARIABLE)
        return processes.server(PROCESS, command, {"CALLS": str(self.process_log.path)}, timeout=ROUTE_SECONDS)

    def renew(self):
        """A new version of each secret at its place in the store; the upstream takes all of them."""
        for name in ("issues", "process"):
            credential = self.stage.mint.make(f"chaos {name} {len(self.credentials)}")
            self.credentials.append(credential)
            if name == "issues":
                self.workshop.accept(credential)
            self.stage.openbao.put(f"kv/chaos/{name}", credential)

    def token(self, station, server_name=ISSUES, who="triage-bot"):
        door = self.door(station, server_name)
        if (door, who) not in self.tokens:
            self.tokens[door, who] = self.stage.issuer.agent(who, door)
        return self.tokens[door, who]

    def door(self, station, server_name=ISSUES):
        return station.gateway.door("dev", server_name)

    def end(self):
        """Whatever happened: nothing sleeps, nothing is mounted, nothing runs on."""
        for station in self.stations:
            station.wake()
        for station in self.stations:
            station.end()
        for station in self.stations:
            station.put_away()
        for relay in (self.upstream, self.store):
            relay.end()
