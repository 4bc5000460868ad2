//! The OpenAPI document is checked in, so that a change of the API is visible in a review.

use std::path::Path;

use notestamp_server::openapi;
use serde_json::Value;

/// If this variable is set, the tests write the OpenAPI document instead of comparing it.
const UPDATE: &str = "NOTESTAMP_UPDATE_OPENAPI";

fn assert_is_kept(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi").join(name);
    if std::env::var_os(UPDATE).is_some() {
        return std::fs::write(&path, generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == generated, "openapi/{name} is out of date: run the tests with {UPDATE}=1, and review it");
}

#[test]
fn the_json_is_the_one_that_is_checked_in() {
    assert_is_kept("notestamp.json", &openapi::json());
}

#[test]
fn the_yaml_is_the_one_that_is_checked_in() {
    assert_is_kept("notestamp.yaml", &openapi::yaml());
}

/// Each operation of the OpenAPI document: its path, its method, and its description.
fn operations() -> Vec<(String, String, Value)> {
    let description: Value = serde_json::from_str(&openapi::json()).unwrap();
    let paths = description["paths"].as_object().unwrap().clone();
    let of_path = |(path, methods): (String, Value)| {
        let methods = methods.as_object().unwrap().clone();
        methods.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    };
    paths.into_iter().flat_map(of_path).collect()
}

#[test]
fn every_operation_of_the_contract_is_described() {
    let described: Vec<_> =
        operations().into_iter().map(|(path, method, _)| format!("{method} {path}")).collect();
    for operation in [
        "post /auth/register",
        "post /auth/signin",
        "post /auth/login",
        "delete /auth/signout",
        "post /auth/logout",
        "delete /auth/remove",
        "get /auth/user",
        "post /home/upload",
        "get /home/open",
        "get /home/list",
        "delete /home/delete",
        "get /home/media/{id}",
        "get /home/media-file/{title}",
        "get /home/stream-audio/{title}",
        "get /home/stream-media",
        "post /project/save",
        "get /project/get/{title}",
        "get /project/list",
        "delete /project/delete/{title}",
        "get /project/notes/{title}",
        "get /project/media/{title}",
        "get /project/duplicate/{title}",
        "get /media/{id}",
        "get /media/download/{title}",
        "get /media/stream/{title}",
    ] {
        assert!(described.iter().any(|it| it == operation), "{operation}");
    }
}

#[test]
fn every_operation_has_a_summary_an_id_and_documented_errors() {
    for (path, method, operation) in operations() {
        for field in ["summary", "operationId"] {
            assert!(
                operation[field].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path}: {field}"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        for (status, response) in responses {
            if status.starts_with(['4', '5']) {
                let schema = &response["content"]["application/json; charset=utf-8"]["schema"]["$ref"];
                assert_eq!(*schema, "#/components/schemas/Error", "{method} {path}: {status}");
            }
        }
    }
}

#[test]
fn operations_that_need_a_session_say_so() {
    for (path, method, operation) in operations() {
        let is_public = ["/auth/register", "/auth/sign", "/auth/log", "/healthz", "/readyz"]
            .iter()
            .any(|public| path.starts_with(public))
            // Its URL is signed.
            || path == "/media/{id}";
        assert_eq!(operation.get("security").is_none(), is_public, "{method} {path}");
        assert!(is_public || operation["responses"].get("401").is_some(), "{method} {path}");
    }
}
