//! What goes through unchanged, in both directions: bytes, ids, statuses, headers, streams.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::broker::{CANARY, TestBroker, binding_spec, record};
use crate::upstream::{Upstream, events, json as answer_json, typed};

const MODERN_META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"vendor/key":{"b":1,"a":[1.0,1e2,-0]},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#;

/// Answers every request with the same text.
async fn saying(text: &'static str) -> Upstream {
    Upstream::start(move |_| async move { answer_json(text) }).await
}

fn modern(broker: &TestBroker, method: &str, name: &str, body: &str) -> reqwest::RequestBuilder {
    broker
        .request("alice-token", body)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
        .header("mcp-name", name)
}

#[tokio::test]
async fn a_request_reaches_the_server_byte_for_byte() {
    let upstream = saying("{}").await;
    let broker = TestBroker::start(upstream.address).await;
    let body = format!(
        "{{ \"vendor\" : [1.50, 12345678901234567890123, \"\\u00e9\\/\"],\r\n \"id\":\"a\\u0062\", \"method\":\"tools/call\",\"params\":{{{MODERN_META},\"name\":\"ech\\u006f\",\"secureArguments\":{{\"z\":null,\"a\":true}},\"arguments\":{{\"n\":1.0,\"m\":100000000000000000001}}}},\"jsonrpc\":\"2.0\"}}\n"
    );
    let request = modern(&broker, "tools/call", "echo", &body)
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("tracestate", "vendor=1")
        .header("mcp-param-region", "=?base64?ZcOp?=")
        .header("mcp-param-unknown-thing", "1");
    assert_eq!(broker.send(request).await.status, 200);
    let seen = upstream.last();
    assert_eq!(String::from_utf8_lossy(&seen.body), body);
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
        ("mcp-param-region", "=?base64?ZcOp?="),
        ("mcp-param-unknown-thing", "1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "vendor=1"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
    let evidence = serde_json::to_string(&*broker.audit.events.lock().unwrap()).unwrap();
    assert!(evidence.contains("0af7651916cd43dd8448eb211c80319c"), "the trace of the message is joined");
    for sensitive in ["100000000000000000001", "vendor/key", "secureArguments", "base64"] {
        assert!(!evidence.contains(sensitive), "{sensitive} is nobody's business");
    }
}

#[tokio::test]
async fn an_answer_reaches_the_client_byte_for_byte() {
    const TEXT: &str = "{ \"result\":{\"resultType\":\"vendor/kind\",\"content\":[{\"type\":\"vendor/type\",\"x\":1.0},{\"type\":\"text\",\"text\":\"\\u00e9\\/\"}],\"big\":12345678901234567890123,\"_meta\":{\"vendor/z\":1,\"a\":[]}},\r\n\"id\":7 ,\"jsonrpc\":\"2.0\",\"vendor\":null}\n";
    let small = saying(TEXT).await;
    let broker = TestBroker::start(small.address).await;
    assert_eq!(broker.call("echo").await.text, TEXT);
    // The same beyond the size up to which answers are held, and without a length.
    let long: &'static str = Box::leak(format!("{}{TEXT}", " ".repeat(70_000)).into_boxed_str());
    let large = saying(long).await;
    let broker = TestBroker::start(large.address).await;
    assert_eq!(broker.call("echo").await.text, long);
}

#[tokio::test]
async fn list_entries_that_stay_keep_their_order_and_every_unknown_field() {
    const TEXT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"vendor":1.0,"tools":[{"x":{"b":1,"a":2},"name":"write_it","inputSchema":{"$schema":"https://json-schema.org/draft/2020-12/schema","x-mcp-header":"R","anyOf":[]}},{"name":"echo","secureInputSchema":{}}],"nextCursor":"b3BhcXVl","ttlMs":5,"cacheScope":"private"}}"#;
    let upstream = saying(TEXT).await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.send(broker.modern("alice-token", "tools/list", None)).await;
    assert_eq!(answer.text, TEXT);
}

#[tokio::test]
async fn discovery_and_reads_become_private_whole_or_as_events() {
    const TEXT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"extensions":{"vendor/x":{}}},"cacheScope":"public","ttlMs":60}}"#;
    let upstream = Upstream::start(|seen| async move {
        if seen.headers.contains_key("x-stream") {
            typed("text/event-stream", format!("id: 1\ndata: {TEXT}\n\n"))
        } else {
            answer_json(TEXT)
        }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let private = TEXT.replace("\"public\"", "\"private\"");
    let discover = || broker.modern("alice-token", "server/discover", None);
    assert_eq!(broker.send(discover()).await.text, private);
    let streamed = broker.send(discover().header("x-stream", "1")).await;
    assert_eq!(streamed.text, format!("id: 1\ndata: {private}\n\n"));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{{{MODERN_META},"uri":"test://a"}}}}"#
    );
    let read = modern(&broker, "resources/read", "test://a", &body);
    assert_eq!(broker.send(read).await.text, private);
}

#[tokio::test]
async fn statuses_and_their_bodies_are_the_servers() {
    let upstream = Upstream::start(|seen| async move {
        let status: u16 = seen.headers["x-want"].to_str().unwrap().parse().unwrap();
        let text = if status == 202 {
            ""
        } else {
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"m","data":{"x":1}}}"#
        };
        let mut response = answer_json(text);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert("allow", "POST".parse().unwrap());
        response
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    for status in [202_u16, 400, 404, 405, 409, 415, 429, 500, 503] {
        let want =
            broker.modern("alice-token", "tools/call", Some("echo")).header("x-want", status.to_string());
        let answer = broker.send(want).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["allow"], "POST");
        assert_eq!(answer.text.is_empty(), status == 202, "{status}: {}", answer.text);
        assert!(answer.text.is_empty() || answer.json()["error"]["data"]["x"] == 1);
    }
}

#[tokio::test]
async fn get_and_delete_without_a_session_are_the_servers_to_refuse() {
    let upstream = Upstream::start(|_| async {
        let mut response = answer_json("");
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert("allow", "POST".parse().unwrap());
        response
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    for (count, method) in [Method::GET, Method::DELETE].into_iter().enumerate() {
        let request = broker.knock("alice-token", method.clone()).header("accept", "text/event-stream");
        let answer = broker.send(request.header("mcp-protocol-version", "2026-07-28")).await;
        assert_eq!((answer.status, upstream.count()), (405, count + 1), "{method}");
        assert_eq!(upstream.last().method, method);
    }
    let put = broker.send(broker.knock("alice-token", Method::PUT)).await;
    assert_eq!((put.status, put.code().as_str(), upstream.count()), (405, "request.method", 2));
}

#[tokio::test]
async fn ids_come_back_as_they_were_written_from_server_and_gateway_alike() {
    let upstream = Upstream::start(|seen| async move {
        let text = String::from_utf8(seen.body.to_vec()).unwrap();
        let id = text.split("\"id\":").nth(1).unwrap().split(",\"method\"").next().unwrap().to_owned();
        answer_json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#))
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    for id in [
        "7",
        "0",
        "-1",
        "9007199254740993",
        "12345678901234567890",
        "\"7\"",
        "\"\"",
        "\"a\\u0062\\/\"",
        "\"é\"",
    ] {
        for tool in ["echo", "forbidden_one"] {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{MODERN_META},"name":"{tool}"}}}}"#
            );
            let answer = broker.send(modern(&broker, "tools/call", tool, &body)).await;
            assert!(answer.text.contains(&format!("\"id\":{id},")), "{id}: {}", answer.text);
            assert_eq!(answer.json()["error"].is_object(), tool == "forbidden_one");
        }
    }
}

#[tokio::test]
async fn a_multi_round_trip_keeps_its_state_byte_for_byte() {
    const STATE: &str = r#"eyJhIjoi\u00e9\/+==.sig-_~"#;
    let upstream = Upstream::start(|seen| async move {
        let again = String::from_utf8_lossy(&seen.body).contains("inputResponses");
        if again {
            answer_json(r#"{"jsonrpc":"2.0","id":8,"result":{"resultType":"complete","content":[]}}"#)
        } else {
            answer_json(format!(
                r#"{{"jsonrpc":"2.0","id":7,"result":{{"resultType":"input_required","inputRequests":{{"k":{{"method":"elicitation/create","params":{{"mode":"form"}}}}}},"requestState":"{STATE}"}}}}"#
            ))
        }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let first = broker.call("echo").await;
    assert!(first.text.contains(&format!("\"requestState\":\"{STATE}\"")), "{}", first.text);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{{{MODERN_META},"name":"echo","inputResponses":{{"k":{{"action":"accept"}}}},"requestState":"{STATE}"}}}}"#
    );
    let second = broker.send(modern(&broker, "tools/call", "echo", &body)).await;
    assert_eq!(second.json()["id"], 8);
    assert_eq!(String::from_utf8_lossy(&upstream.last().body), body);
}

#[tokio::test]
async fn unknown_methods_pass_where_the_binding_says_so_and_unknown_notifications_always() {
    let upstream = Upstream::start(|_| async {
        let mut response = typed("application/vnd.vendor+json", "{\"any\":1.0}");
        response.headers_mut().insert("x-vendor", "kept".parse().unwrap());
        response
    })
    .await;
    let allow = |binding: &mut serde_json::Value| binding["methods"] = json!(["vendor/do"]);
    let broker = TestBroker::with(upstream.address, allow, |_| {}).await;
    let legacy =
        |body: &str| broker.request("alice-token", body).header("mcp-protocol-version", "2025-06-18");
    let method = r#"{"jsonrpc":"2.0","id":1,"method":"vendor/do","params":{"x":[1.0]},"extra":{}}"#;
    let answer = broker.send(legacy(method)).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{\"any\":1.0}"));
    assert_eq!(
        (&answer.headers["content-type"], &answer.headers["x-vendor"]),
        (&"application/vnd.vendor+json".parse().unwrap(), &"kept".parse().unwrap())
    );
    assert_eq!(upstream.last().body, method);
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/vendor/thing","params":{"b":1,"a":2}}"#;
    assert_eq!(broker.send(legacy(notification)).await.status, 200);
    assert_eq!(upstream.last().body, notification);
    let other = broker.send(legacy(r#"{"jsonrpc":"2.0","id":1,"method":"vendor/other"}"#)).await;
    assert_eq!((other.status, &other.json()["error"]["code"]), (404, &json!(-32601)));
}

#[tokio::test]
async fn hidden_and_unknown_tools_get_the_same_answer_but_for_the_name() {
    let upstream = saying("{}").await;
    let broker = TestBroker::start(upstream.address).await;
    let mut seen = Vec::new();
    for tool in ["forbidden_one", "no_such_tool"] {
        let answer = broker.call(tool).await;
        let mut error = answer.json();
        error["error"]["data"]["request_id"] = json!(null);
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        seen.push((answer.status, error.to_string().replace(tool, "TOOL"), names));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_connection_carries_each_callers_own_credential() {
    let upstream = saying("{}").await;
    let mut broker = TestBroker::start(upstream.address).await;
    broker.publish(|state| {
        let mut bobs = binding_spec();
        bobs["name"] = "bobs".into();
        bobs["actor"] = json!({"users": ["https://idp|bob"]});
        bobs["inject"] = json!({"header": "x-bob", "format": "{secret}"});
        state.revisions.push(record(bobs, 1));
    });
    let stream = tokio::net::TcpStream::connect(broker.address).await.unwrap();
    let (mut connection, serving) =
        hyper::client::conn::http1::handshake::<_, http_body_util::Full<bytes::Bytes>>(TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(serving);
    for (token, status, header) in [
        ("alice-token", 200, "authorization"),
        ("bob-token", 200, "x-bob"),
        ("nobodys", 401, ""),
        ("alice-token", 200, "authorization"),
    ] {
        let built = broker.modern(token, "tools/call", Some("echo")).build().unwrap();
        let mut request = http::Request::post("/mcp/dev/tools");
        *request.headers_mut().unwrap() = built.headers().clone();
        request.headers_mut().unwrap().insert("host", broker.address.to_string().parse().unwrap());
        let body = bytes::Bytes::copy_from_slice(built.body().unwrap().as_bytes().unwrap());
        let response = connection.send_request(request.body(body.into()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{token}");
        response.into_body().collect().await.unwrap();
        if status == 200 {
            let seen = upstream.last().headers;
            assert!(seen[header].to_str().unwrap().contains(CANARY));
            assert_eq!(seen.contains_key("authorization"), header == "authorization", "only one's own");
            assert_eq!(seen.contains_key("x-bob"), header == "x-bob");
        }
    }
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn a_stream_outlives_the_routes_time_limit_with_its_comments_and_fields() {
    let (sender, response) = events();
    let response = std::sync::Mutex::new(Some(response));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async move { response }
    })
    .await;
    let mut broker = TestBroker::start(upstream.address).await;
    broker.publish(|state| {
        let mut server = crate::broker::server_spec(upstream.address);
        server["route"]["timeout_seconds"] = 1.into();
        state.revisions[1] = record(server, 1);
    });
    let mut stream = broker.modern("alice-token", "subscriptions/listen", None).send().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(1_300), stream.chunk()).await;
    assert!(quiet.is_err(), "nothing came, and nothing was cut");
    for event in [
        ": keep-alive\n\n",
        "retry: 3000\nid: 1\nevent: vendor\ndata: {\"a\":\ndata: 1.0}\n\n",
        "data:x\r\n\r\n",
    ] {
        sender.send(event).unwrap();
        assert_eq!(stream.chunk().await.unwrap().unwrap(), event);
    }
}

#[tokio::test]
async fn listening_for_a_resource_takes_the_right_to_read_it() {
    let upstream = saying("{}").await;
    let deaf = |binding: &mut serde_json::Value| binding["methods"] = json!([]);
    let broker = TestBroker::with(upstream.address, deaf, |_| {}).await;
    let listen = |filter: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{{{MODERN_META},"notifications":{filter}}}}}"#
        );
        broker
            .request("alice-token", body)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "subscriptions/listen")
    };
    for filter in [r#"{"resourceSubscriptions":["test://a"]}"#, r#"{"resourceSubscriptions":"test://a"}"#] {
        let answer = broker.send(listen(filter)).await;
        assert_eq!(answer.code(), "method.unknown", "{filter}");
    }
    for filter in [
        r#"{"toolsListChanged":true}"#,
        r#"{"resourceSubscriptions":[]}"#,
        r#"{"resourceSubscriptions":null}"#,
    ] {
        assert_eq!(broker.send(listen(filter)).await.status, 200, "{filter}");
    }
    assert_eq!(upstream.count(), 3);
    let reader = TestBroker::start(upstream.address).await;
    let may = listen(r#"{"resourceSubscriptions":["test://a"]}"#).build().unwrap();
    let text = String::from_utf8(may.body().unwrap().as_bytes().unwrap().to_vec()).unwrap();
    let request = reader.request("alice-token", text);
    let request =
        request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "subscriptions/listen");
    assert_eq!(reader.send(request).await.status, 200);
}

#[tokio::test]
async fn the_browsers_origin_and_the_callers_host_end_at_the_gateway() {
    let upstream = saying("{}").await;
    let ours = |settings: &mut gateway_proxy::settings::Settings| {
        settings.allowed_origins = vec!["https://app.example".into()]
    };
    let broker = TestBroker::with(upstream.address, |_| {}, ours).await;
    let request =
        broker.modern("alice-token", "tools/call", Some("echo")).header("origin", "https://app.example");
    assert_eq!(broker.send(request.header("cookie", "a=b")).await.status, 200);
    let seen = upstream.last().headers;
    assert!(!seen.contains_key("origin") && !seen.contains_key("cookie"));
    assert_eq!(seen["host"], upstream.address.to_string());
}

#[tokio::test]
async fn a_modern_client_goes_on_across_a_restart_and_a_legacy_one_is_told_to_begin_anew() {
    let server = crate::upstream::LegacyServer::start().await;
    let before = TestBroker::start(server.upstream.address).await;
    assert_eq!(before.call("echo").await.status, 200);
    let session = crate::sessions::open(&before, "alice-token").await;
    drop(before);
    let after = TestBroker::start(server.upstream.address).await;
    assert_eq!(after.call("echo").await.status, 200);
    let lost = after.request("alice-token", crate::sessions::CALL).header("mcp-session-id", &session);
    let lost = after.send(lost).await;
    assert_eq!((lost.status, lost.code().as_str()), (404, "session.unknown"));
    crate::sessions::open(&after, "alice-token").await;
}

#[tokio::test]
async fn both_generations_speak_to_one_server_through_one_door() {
    let upstream = saying(
        r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#,
    )
    .await;
    let broker = TestBroker::start(upstream.address).await;
    // The gateway may ask questions of its own meanwhile: the client's messages are looked for among all.
    let saw = |body: &str| {
        let seen = upstream.seen.lock().unwrap();
        seen.iter().find(|seen| seen.body == body).map(|seen| seen.headers.contains_key("mcp-method"))
    };
    broker.send(broker.request("alice-token", crate::sessions::INITIALIZE)).await;
    assert_eq!(saw(crate::sessions::INITIALIZE), Some(false));
    let mirrored = broker.request("alice-token", crate::sessions::CALL).header("mcp-method", "tools/call");
    broker.send(mirrored.header("mcp-protocol-version", "2025-11-25")).await;
    assert_eq!(saw(crate::sessions::CALL), Some(false), "nobody compared the mirror");
    let discover = broker.modern("alice-token", "server/discover", None);
    let body = String::from_utf8(
        discover.try_clone().unwrap().build().unwrap().body().unwrap().as_bytes().unwrap().to_vec(),
    )
    .unwrap();
    broker.send(discover).await;
    assert_eq!(saw(&body), Some(true));
}
