//! `GET` and `POST /_matrix/client/v3/auth/{authType}/fallback/web`

use serde_json::{Value, json};

use super::challenge;
use crate::support::{Answer, TestServer};

const REGISTER: &str = "/_matrix/client/v3/register";

async fn with_pages() -> TestServer {
    TestServer::configure()
        .set(
            "registration.flows",
            "m.login.registration_token+m.login.terms",
        )
        .set("registration.tokens", "wel+come &")
        .set(
            "registration.terms",
            "[{id = 'terms', title = 'Be <nice>', url = 'https://test.example/terms'}]",
        )
        .start()
        .await
}

async fn register(server: &TestServer, auth: Value) -> Answer {
    let mut body = json!({ "username": "alice", "password": "secret" });
    if !auth.is_null() {
        body["auth"] = auth;
    }
    server.post(REGISTER).json(&body).send().await
}

async fn new_session(server: &TestServer) -> String {
    let body = challenge(&register(server, Value::Null).await);
    body["session"].as_str().unwrap().to_owned()
}

fn path(stage: &str) -> String {
    format!("/_matrix/client/v3/auth/{stage}/fallback/web")
}

async fn open(server: &TestServer, stage: &str, session: &str) -> Answer {
    let page = server.get(&path(stage)).query("session", session);
    page.send().await
}

async fn submit(server: &TestServer, stage: &str, session: &str, form: &str) -> Answer {
    let page = server.post(&path(stage)).query("session", session);
    page.bytes(form.to_owned()).send().await
}

#[track_caller]
fn page(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{:?}", answer.bytes);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    std::str::from_utf8(&answer.bytes).unwrap()
}

#[tokio::test]
async fn pages_pass_the_stages_of_a_registration() {
    let server = with_pages().await;
    let session = new_session(&server).await;
    let token = "m.login.registration_token";
    let answer = open(&server, token, &session).await;
    assert!(page(&answer).contains("<input name=\"token\""));
    let answer = submit(&server, token, &session, "token=wel%2Bcome+%26").await;
    assert!(page(&answer).contains("window.onAuthDone();"));
    let left = challenge(&register(&server, json!({ "session": session })).await);
    assert_eq!(left["completed"], json!([token]));

    let answer = open(&server, "m.login.terms", &session).await;
    assert!(page(&answer).contains("href=\"https://test.example/terms\""));
    assert!(page(&answer).contains("Be &lt;nice&gt;"));
    assert!(!page(&answer).contains("onAuthDone"));
    let answer = submit(&server, "m.login.terms", &session, "").await;
    assert!(page(&answer).contains("window.onAuthDone();"));
    let account = register(&server, json!({ "session": session })).await.ok();
    assert_eq!(account["user_id"], "@alice:test.example");
}

#[tokio::test]
async fn a_page_refuses_other_tokens_and_repeats_nothing_of_them() {
    let server = with_pages().await;
    let session = new_session(&server).await;
    let stage = "m.login.registration_token";
    let marked = "token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for form in ["", "token=", "token=wel+come+%26", "x", "\u{0}", marked] {
        let answer = submit(&server, stage, &session, form).await;
        let shown = page(&answer);
        assert!(shown.contains("This token is not valid"), "{form}");
        assert!(!shown.contains("alert(1)"), "{shown}");
        assert!(!shown.contains("onAuthDone"), "{shown}");
    }
    let left = challenge(&register(&server, json!({ "session": session })).await);
    assert!(left["completed"].is_null(), "{left}");
}

#[tokio::test]
async fn pages_are_for_stages_and_sessions_that_exist() {
    let server = with_pages().await;
    let session = new_session(&server).await;
    for stage in ["m.login.password", "m.login.dummy", "m.login.sso", "x"] {
        let answer = open(&server, stage, &session).await;
        answer.error(404, "M_NOT_FOUND");
        let answer = submit(&server, stage, &session, "").await;
        answer.error(404, "M_NOT_FOUND");
    }
    let stage = "m.login.terms";
    for session in ["", "<script>", "0"] {
        let answer = open(&server, stage, session).await;
        answer.error(400, "M_INVALID_PARAM");
        let answer = submit(&server, stage, session, "").await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let sessionless = server.get(&path(stage)).send().await;
    sessionless.error(400, "M_MISSING_PARAM");
}
