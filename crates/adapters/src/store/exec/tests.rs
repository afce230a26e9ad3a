use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use gateway_core::id::StoreName;
use gateway_core::reference::VersionSelector;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::contract::store::{RETRY_AFTER, StoreWorld, Trouble, battery, one_fetch_for_a_thousand};
use tempfile::TempDir;

use super::*;
use crate::store::{CacheLimits, Cached, Deadline};

/// A store in a shell script: a directory for each path, a file of base64 for each version.
const HELPER: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
request=$(cat)
member() { printf '%s' "$request" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
fail() { echo "{\"version\":1,\"error\":{\"kind\":\"$1\"$2}}"; exit 0; }
echo "canary-on-stderr" >&2
case $(cat "$1/trouble") in
  slow) exec sleep 600 ;;
  throttled) fail throttled ',"retry_after_seconds":2' ;;
  down) fail unavailable ;;
  refused) fail denied ;;
esac
case $(member op) in probe) echo '{"version":1}'; exit 0 ;; esac
[ -z "$(member stage)" ] || fail missing
place="$1/values/$(member path)"
[ -d "$place" ] || fail missing
[ ! -e "$place/denied" ] || fail denied
case $(member field) in "" | token) ;; *) fail missing ;; esac
version=$(member secret_version)
[ -n "$version" ] || version=$(cat "$place/newest")
[ -e "$place/$version" ] || fail missing
printf '{"version":1,"value_base64":"'
cat "$place/$version"
printf '","secret_version":"%s","created_at":"2026-01-01T00:00:00Z"}' "$version"
"#;

struct World {
    directory: TempDir,
    store: Arc<ExecStore>,
}

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("helper");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn settings(program: PathBuf, arguments: Vec<String>) -> ExecSettings {
    ExecSettings { program, arguments, pass_environment: Vec::new(), concurrency: 4 }
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("values")).unwrap();
    std::fs::write(directory.path().join("trouble"), "").unwrap();
    let place = directory.path().display().to_string();
    let store = ExecStore::new(settings(script(directory.path(), HELPER), vec![place])).unwrap();
    World { directory, store: Arc::new(store) }
}

/// A store whose program is this script.
fn saying(directory: &TempDir, text: &str) -> ExecStore {
    ExecStore::new(settings(script(directory.path(), &format!("#!/bin/sh\n{text}\n")), Vec::new())).unwrap()
}

fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("helper").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some("token".to_owned()), version: None }
}

#[expect(clippy::disallowed_methods, reason = "the tests compare values")]
fn text(version: &SecretVersion) -> &str {
    std::str::from_utf8(version.secret.expose()).unwrap()
}

impl World {
    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join("values").join(name)
    }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        self.store.as_ref()
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        use base64::Engine as _;
        let place = self.place(name);
        std::fs::create_dir_all(&place).unwrap();
        let newest = std::fs::read_to_string(place.join("newest")).unwrap_or_default();
        let version = newest.parse::<u32>().unwrap_or(0) + 1;
        let encoded = base64::engine::general_purpose::STANDARD.encode(value);
        std::fs::write(place.join(version.to_string()), encoded).unwrap();
        std::fs::write(place.join("newest"), version.to_string()).unwrap();
        Some(reference(name))
    }

    fn absent(&self) -> ResolvedReference {
        reference("absent")
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn denied(&self) -> Option<ResolvedReference> {
        let wanted = self.put("denied", b"canary-denied").await;
        std::fs::write(self.place("denied").join("denied"), "").unwrap();
        wanted
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        std::fs::remove_dir_all(self.place(&wanted.path)).unwrap();
        true
    }

    async fn bring(&self, trouble: Trouble) -> bool {
        let word = match trouble {
            Trouble::None => "",
            Trouble::Slow => "slow",
            Trouble::Throttled => "throttled",
            Trouble::Down => "down",
            Trouble::LoginRefused => "refused",
            Trouble::SessionOver => return false,
        };
        std::fs::write(self.directory.path().join("trouble"), word).unwrap();
        assert_eq!(RETRY_AFTER, Duration::from_secs(2), "what the script says");
        true
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    battery(&world()).await;
}

#[tokio::test]
async fn a_thousand_callers_run_one_process() {
    let world = world();
    let wanted = world.put("shared", b"canary-shared").await.unwrap();
    one_fetch_for_a_thousand(world.store.clone(), &wanted, |store| {
        Arc::new(Cached::new(store, CacheLimits::default(), Arc::new(ManualClock::default())))
    })
    .await;
}

#[tokio::test]
async fn the_request_is_a_document_on_the_input_and_nothing_in_the_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let lines = format!("{{ cat; echo \"$#\"; /usr/bin/env; }} > {}\n", seen.display());
    let store = saying(&directory, &(lines + r#"echo '{"version":1,"value":"v","secret_version":"7"}'"#));
    let wanted = ResolvedReference {
        version: Some(VersionSelector::Version("7".to_owned())),
        ..reference("team/a \"b\"")
    };
    assert_eq!(text(&store.fetch(&wanted).await.unwrap()), "v");
    let seen = std::fs::read_to_string(seen).unwrap();
    let mut lines = seen.lines();
    let request = r#"{"version":1,"op":"get","path":"team/a \"b\"","field":"token","secret_version":"7"}"#;
    assert_eq!(lines.next(), Some(request));
    assert_eq!(lines.next(), Some("0"), "no arguments but the configured ones");
    // What the shell sets by itself.
    let inherited = lines.filter(|line| !["PWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)));
    assert_eq!(inherited.collect::<Vec<_>>(), Vec::<&str>::new(), "nothing of the gateway's environment");
}

#[tokio::test]
async fn only_listed_variables_pass() {
    let directory = tempfile::tempdir().unwrap();
    let text_of = r#"printf '{"version":1,"value":"%s|%s","secret_version":"1"}' "$CARGO_PKG_NAME" "$HOME""#;
    let program = script(directory.path(), &format!("#!/bin/sh\n{text_of}\n"));
    let pass_environment = vec!["CARGO_PKG_NAME".to_owned(), "NO_SUCH_VARIABLE".to_owned()];
    let store = ExecStore::new(ExecSettings { pass_environment, ..settings(program, Vec::new()) }).unwrap();
    let version = store.fetch(&reference("a")).await.unwrap();
    let expected = std::env::var_os("CARGO_PKG_NAME").unwrap_or_default().into_string().unwrap();
    assert_eq!(text(&version), format!("{expected}|"));
}

#[tokio::test]
async fn a_stage_is_asked_by_its_name_and_a_probe_by_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let store = saying(&directory, &format!("cat > {}\necho '{{\"version\":1}}'", seen.display()));
    let stage = Some(VersionSelector::Stage("previous".to_owned()));
    let wanted = ResolvedReference { version: stage, field: None, ..reference("a") };
    assert_eq!(store.fetch(&wanted).await.unwrap_err().kind, StoreErrorKind::Malformed, "no value");
    let asked = std::fs::read_to_string(&seen).unwrap();
    assert_eq!(asked, "{\"version\":1,\"op\":\"get\",\"path\":\"a\",\"stage\":\"previous\"}\n");
    store.probe().await.unwrap();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "{\"version\":1,\"op\":\"probe\"}\n");
}

#[tokio::test]
async fn refuses_answers_that_are_none_and_repeats_nothing_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = saying(&directory, r#"read -r request; cat "$0.answer""#);
    let answer = directory.path().join("helper.answer");
    for document in [
        "",
        "canary",
        "[]",
        r#"{"version":2,"value":"canary","secret_version":"1"}"#,
        r#"{"value":"canary","secret_version":"1"}"#,
        r#"{"version":1,"value":"canary"}"#,
        r#"{"version":1,"value":"canary","secret_version":""}"#,
        r#"{"version":1,"value":"canary","secret_version":"a b"}"#,
        r#"{"version":1,"value":7,"secret_version":"1"}"#,
        r#"{"version":1,"value_base64":"canary!","secret_version":"1"}"#,
        r#"{"version":1,"value":"canary","value_base64":"eA==","secret_version":"1"}"#,
        r#"{"version":1,"value":"canary","secret_version":"1","canary":1}"#,
        r#"{"version":1,"value":"canary","secret_version":"1","created_at":"canary"}"#,
        r#"{"version":1,"value":"canary","secret_version":"1","error":{"kind":"denied"}}"#,
        r#"{"version":1,"value":"canary","secret_version":"1"}{}"#,
        r#"{"version":1,"error":{"kind":"canary"}}"#,
        r#"{"version":1,"error":{"kind":"throttled","retry_after_seconds":-1}}"#,
        r#"{"version":1,"secret_version":"1"}"#,
    ] {
        std::fs::write(&answer, document).unwrap();
        let error = store.fetch(&reference("a")).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{document}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    std::fs::write(&answer, r#"{"version":1,"value":"","secret_version":"1"}"#).unwrap();
    assert_eq!(store.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Empty);
    std::fs::write(&answer, r#"{"version":1,"value":"v","secret_version":"1"}"#).unwrap();
    assert_eq!(store.probe().await.unwrap_err().kind, StoreErrorKind::Malformed, "a probe reads no secret");
    let version = Some(VersionSelector::Version("2".to_owned()));
    let pinned = ResolvedReference { version, ..reference("a") };
    assert_eq!(store.fetch(&pinned).await.unwrap_err().kind, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn a_program_that_fails_is_an_outage_and_its_words_are_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let answer = r#"echo '{"version":1,"value":"v","secret_version":"1"}'"#;
    let store = saying(&directory, &format!("echo canary >&2\n{answer}\nexit 3"));
    let error = store.fetch(&reference("a")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.inside.contains("7 bytes") && !error.inside.contains("canary"), "{error}");
    std::fs::remove_file(directory.path().join("helper")).unwrap();
    assert_eq!(store.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Denied);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let store = saying(&directory, "exec cat /dev/zero");
    let error = store.fetch(&reference("a")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    assert!(error.inside.contains(&MAX_ANSWER.to_string()), "{error}");
}

#[tokio::test]
async fn error_output_of_any_length_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let answer = r#"echo '{"version":1,"value":"v","secret_version":"1"}'"#;
    let store = saying(&directory, &format!("head -c 1000000 /dev/zero >&2\n{answer}"));
    assert_eq!(text(&store.fetch(&reference("a")).await.unwrap()), "v");
}

/// The process that the script named in this file, once it has.
async fn named_process(file: &Path) -> PathBuf {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let named = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(number) = named.strip_suffix('\n') {
            return Path::new("/proc").join(number);
        }
        assert!(tokio::time::Instant::now() < end, "the script named no process");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether it has ended; one that nobody has waited for yet is as dead as any.
fn is_dead(process: &Path) -> bool {
    let state = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    state.rsplit(')').next().is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z'))
}

async fn dies(process: &Path) {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_dead(process) {
        assert!(tokio::time::Instant::now() < end, "{} lives on", process.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_that_is_too_slow_dies_with_what_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let named = directory.path().join("named");
    let store = saying(&directory, &format!("sleep 600 &\necho $! > {}\nwait", named.display()));
    let limited = Deadline::new(Arc::new(store), Duration::from_millis(1_500));
    assert_eq!(limited.fetch(&reference("a")).await.unwrap_err().kind, StoreErrorKind::Timeout);
    dies(&named_process(&named).await).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_dies_with_the_request() {
    let directory = tempfile::tempdir().unwrap();
    let named = directory.path().join("named");
    let answer = r#"echo '{"version":1,"value":"v","secret_version":"1"}'"#;
    let lines = format!("sleep 600 >/dev/null 2>&1 &\necho $! > {}\n{answer}", named.display());
    let store = saying(&directory, &lines);
    assert_eq!(text(&store.fetch(&reference("a")).await.unwrap()), "v");
    dies(&named_process(&named).await).await;
}

#[tokio::test]
async fn no_more_run_at_once_than_are_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let turn = directory.path().join("turn");
    // A second one beside the first would find its directory.
    let lines = format!("mkdir {0} || exit 1\nsleep 0.02\nrmdir {0}\n", turn.display());
    let answer = r#"echo '{"version":1,"value":"v","secret_version":"1"}'"#;
    let program = script(directory.path(), &format!("#!/bin/sh\n{lines}{answer}\n"));
    let store = ExecStore::new(ExecSettings { concurrency: 1, ..settings(program, Vec::new()) }).unwrap();
    let wanted = reference("a");
    let all = futures::future::join_all((0..8).map(|_| store.fetch(&wanted))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test]
async fn a_program_that_others_may_write_is_not_started() {
    let directory = tempfile::tempdir().unwrap();
    let program = script(directory.path(), "#!/bin/sh\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o722)).unwrap();
    let refused = ExecStore::new(settings(program.clone(), Vec::new())).unwrap_err();
    assert_eq!(refused, ExecProgramError::WritableByOthers(program.clone()));
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let store = ExecStore::new(settings(program.clone(), Vec::new())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o722)).unwrap();
    let error = store.fetch(&reference("a")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "judged again at each run: {error}");
}
