//! What `docs/monitoring` says of the metrics.

use std::collections::BTreeSet;

use super::client::Client;
use super::server::Server;

const FILES: [(&str, &str); 2] = [
    ("dashboard.json", include_str!("../../../docs/monitoring/dashboard.json")),
    ("alerts.yml", include_str!("../../../docs/monitoring/alerts.yml")),
];

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("notestamp_")).collect()
}

/// The values of a label that an expression compares with, such as the codes in `code=~"a|b"`.
fn values<'t>(text: &'t str, label: &str) -> BTreeSet<&'t str> {
    let mut found = BTreeSet::new();
    for quote in ["\"", "\\\""] {
        for operator in ["=", "=~"] {
            let begin = format!("{label}{operator}{quote}");
            let compared = text.split(&*begin).skip(1).filter_map(|rest| rest.split(quote).next());
            found.extend(compared.flat_map(|values| values.split('|')));
        }
    }
    found
}

#[tokio::test]
async fn dashboard_and_alerts_use_metrics_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--metrics-listen", "127.0.0.1:0"]);
    Client::register(&server.url, "somebody").await.list().await;
    let metrics = reqwest::get(server.metrics_url()).await.unwrap().text().await.unwrap();
    let exist = names(&metrics);
    // The document does not have all: those that only old clients use are hidden.
    let operations =
        concat!(include_str!("../../src/api/sign_in.rs"), include_str!("../../src/api/home/projects.rs"));
    let codes = include_str!("../../src/error/code.rs");
    for (file, text) in FILES {
        let used = names(text);
        assert!(used.len() > 5, "{file}: {used:?}");
        let missing: Vec<_> = used.difference(&exist).collect();
        assert!(missing.is_empty(), "{file}: {missing:?} are not in\n{metrics}");
        for operation in values(text, "operation") {
            assert!(operations.contains(&format!("operation_id = \"{operation}\"")), "{file}: {operation}");
        }
        for code in values(text, "code") {
            assert!(codes.contains(&format!("\"{code}\"")), "{file}: {code}");
        }
    }
    serde_json::from_str::<serde_json::Value>(FILES[0].1).unwrap();
    assert!(metrics.contains("operation=\"listProjects\",status=\"200\"} 1"), "{metrics}");
}
