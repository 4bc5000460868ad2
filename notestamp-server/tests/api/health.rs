use notestamp_store::Digest;
use notestamp_store::backup::RestoreTarget;
use serde_json::json;

use super::TestServer;

#[apply(api_test)]
async fn health_and_readiness_need_no_session() {
    let server = TestServer::spawn().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.visitor().get(path).await.assert_status(200).json(), json!({"status": "ok"}));
    }
}

#[apply(api_test)]
async fn while_a_backup_is_restored_no_account_is_served() {
    let server = TestServer::spawn().await;
    let restore = server.store().begin(Digest::of(b"a snapshot")).await.unwrap();
    let visitor = server.visitor();
    for path in ["/home/list", "/project/list", "/auth/user", "/readyz"] {
        let refused = visitor.get(path).await.assert_status(503);
        assert_eq!(refused.json()["code"], "restoring", "{path}");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(visitor.register("ada@example.org").await.assert_status(503).json()["code"], "restoring");
    visitor.get("/healthz").await.assert_status(200);
    visitor.get("/docs").await.assert_status(200);
    server.store().end(restore, &[]).await.unwrap();
    visitor.register("ada@example.org").await.assert_status(201);
}

#[apply(api_test)]
async fn the_front_page_links_the_documentation() {
    let server = TestServer::spawn().await;
    let page = server.visitor().get("/").await.assert_status(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let links: Vec<_> =
        page.text().split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    assert!(links.contains(&"docs".to_owned()), "{links:?}");
    // The link is relative, because the server may be below a path of a proxy.
    assert!(links.iter().all(|link| !link.starts_with('/')), "{links:?}");
    for link in links.iter().filter(|link| !link.contains(':')) {
        server.visitor().get(&format!("/{link}")).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn the_documentation_loads_nothing_from_other_hosts() {
    let server = TestServer::spawn().await;
    let page = server.visitor().get("/docs").await.assert_status(200);
    assert_eq!(page.header("content-type").unwrap().split(';').next(), Some("text/html"));
    let text = page.text();
    for start in ["src=\"", "src='", "href=\"", "href='", "url(", "@import ", "import("] {
        for (at, _) in text.match_indices(start) {
            let target: String = text[at + start.len()..].chars().take(60).collect();
            let target = target.trim_start_matches(['"', '\'']);
            let leads_away = ["http:", "https:", "//"].iter().any(|scheme| target.starts_with(scheme));
            assert!(!leads_away, "{start}{target}");
        }
    }
    assert!(text.contains("validatorUrl: null"), "no badge of an outside validator");
    // The policy allows scripts to connect to this server only.
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("connect-src 'self';"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
}

#[apply(api_test)]
async fn the_served_openapi_document_equals_the_file() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    let json = visitor.get("/openapi.json").await.assert_status(200);
    assert_eq!(json.header("content-type").unwrap().split(';').next(), Some("application/json"));
    assert_eq!(json.text().trim_end(), notestamp_server::openapi::json().trim_end());
    let yaml = visitor.get("/openapi.yaml").await.assert_status(200);
    assert_eq!(yaml.header("content-type").unwrap().split(';').next(), Some("application/yaml"));
    assert_eq!(yaml.text(), notestamp_server::openapi::yaml());
}

#[apply(api_test)]
async fn a_cached_page_is_not_sent_again() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    for path in ["/", "/docs", "/openapi.json", "/openapi.yaml"] {
        let tag = visitor.get(path).await.assert_status(200).header("etag").unwrap().to_owned();
        let again = visitor.get_with(path, &[("if-none-match", &tag)]).await.assert_status(304);
        assert_eq!((again.body.len(), again.header("etag")), (0, Some(tag.as_str())), "{path}");
        visitor.get_with(path, &[("if-none-match", "\"another\"")]).await.assert_status(200);
        assert_eq!(visitor.head(path).await.assert_status(200).header("etag"), Some(tag.as_str()), "{path}");
    }
}
