use super::*;

fn route(json: serde_json::Value) -> Result<Route, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn check(json: serde_json::Value) -> Result<(), RouteError> {
    route(json).unwrap().check()
}

#[test]
fn a_url_refuses_what_would_blur_the_destination() {
    let of = |url: &str| check(serde_json::json!({"url": url}));
    assert_eq!(of("https://mcp.internal/mcp"), Ok(()));
    assert_eq!(of("ftp://mcp.internal/"), Err(RouteError::Scheme));
    assert_eq!(of("https://user@mcp.internal/"), Err(RouteError::Extra));
    assert_eq!(of("https://mcp.internal/?a=b"), Err(RouteError::Extra));
    assert_eq!(of("https://mcp.internal/#a"), Err(RouteError::Extra));
}

#[test]
fn a_route_has_one_form() {
    for bad in [
        serde_json::json!({}),
        serde_json::json!({"timeout_seconds": 3}),
        serde_json::json!({"url": "https://a/", "command": ["/bin/true"]}),
        serde_json::json!({"url": "https://a/", "environment": {"A": "b"}}),
        serde_json::json!({"command": ["/bin/true"], "proxy": "http://p:1"}),
        serde_json::json!({"command": ["/bin/true"], "shell": true}),
    ] {
        assert!(route(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_socket_excludes_what_it_makes_meaningless() {
    let of = |more: serde_json::Value| {
        let mut json = serde_json::json!({"url": "http://localhost/mcp", "socket": "/run/mcp.sock"});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        check(json)
    };
    assert_eq!(of(serde_json::json!({})), Ok(()));
    assert_eq!(of(serde_json::json!({"socket": "mcp.sock"})), Err(RouteError::Socket));
    assert_eq!(of(serde_json::json!({"proxy": "http://p:1"})), Err(RouteError::Socket));
    assert_eq!(of(serde_json::json!({"addresses": ["loopback"]})), Err(RouteError::Socket));
}

#[test]
fn a_client_certificate_needs_tls() {
    let of = |url: &str| {
        let pair = serde_json::json!({"certificate_file": "/c.pem", "key_file": "/k.pem"});
        check(serde_json::json!({"url": url, "client_certificate": pair}))
    };
    assert_eq!(of("https://a/"), Ok(()));
    assert_eq!(of("http://a/"), Err(RouteError::Certificate));
}

#[test]
fn a_command_names_its_program_whole_and_takes_no_hook_into_the_loader() {
    let of = |json: serde_json::Value| check(json);
    assert_eq!(of(serde_json::json!({"command": ["/usr/bin/node", "server.js"]})), Ok(()));
    for program in ["node", "./node", "", "/", "/usr/bin/node\u{0}"] {
        assert_eq!(of(serde_json::json!({"command": [program]})), Err(RouteError::Command), "{program:?}");
    }
    for name in ["LD_PRELOAD", "NODE_OPTIONS", "A=B", "1A", "", "PYTHONSTARTUP", "PYTHONPATH", "NODE_PATH"] {
        let json = serde_json::json!({"command": ["/bin/true"], "environment": {name: "x"}});
        assert!(matches!(of(json), Err(RouteError::Variable(_))), "{name}");
    }
    let json = serde_json::json!({"command": ["/bin/true"], "directory": "here"});
    assert_eq!(of(json), Err(RouteError::Directory));
    let json = serde_json::json!({"command": ["/bin/true"], "limits": {"memory_mib": 1}});
    assert_eq!(of(json), Err(RouteError::Limits));
}

#[test]
fn a_route_survives_json() {
    for json in [
        serde_json::json!({"url": "https://a/", "timeout_seconds": 9}),
        serde_json::json!({"url": "https://a/", "generation": "legacy"}),
        serde_json::json!({"url": "https://a/", "receipt": "pseudonymous"}),
        serde_json::json!({"command": ["/bin/cat"], "generation": "modern"}),
        serde_json::json!({"command": ["/bin/cat"], "environment": {"A": "b"}, "limits": {"open_files": 64}}),
    ] {
        let one = route(json).unwrap();
        let again = route(serde_json::to_value(&one).unwrap()).unwrap();
        assert_eq!(one, again);
    }
}

#[test]
fn receipts_are_off_unless_asked_for_and_leave_no_trace_then() {
    let Route::Http(silent) = route(serde_json::json!({"url": "https://a/"})).unwrap() else { panic!() };
    assert!(silent.receipt.is_off());
    let off = route(serde_json::json!({"url": "https://a/", "receipt": "off"})).unwrap();
    assert_eq!(off, Route::Http(silent));
    assert!(!serde_json::to_string(&off).unwrap().contains("receipt"), "the route keeps its id");
}

#[test]
fn a_process_gets_no_receipts() {
    let json = serde_json::json!({"command": ["/bin/cat"], "receipt": "header"});
    assert_eq!(route(json).unwrap_err(), RouteError::Receipt.to_string());
}
