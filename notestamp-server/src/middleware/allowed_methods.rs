//! The `Allow` header of 405 responses (RFC 9110, 15.5.6), taken from the OpenAPI description.

use std::collections::BTreeMap;

use poem::http::HeaderValue;
use serde::Deserialize;

/// The methods of each path.
#[derive(Debug)]
pub(crate) struct AllowedMethods(Vec<(Vec<String>, HeaderValue)>);

#[derive(Deserialize)]
struct Description {
    paths: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

impl AllowedMethods {
    /// Reads the methods from the server's own OpenAPI document, in JSON.
    pub(crate) fn of_description(json: &str) -> Self {
        let description: Description =
            serde_json::from_str(json).expect("the description is JSON with paths");
        let paths = description.paths.into_iter().map(|(path, operations)| {
            let mut methods: Vec<_> = operations.keys().map(|method| method.to_uppercase()).collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            let allow = HeaderValue::from_str(&methods.join(", ")).expect("methods are tokens");
            (segments(&path).map(str::to_owned).collect(), allow)
        });
        Self(paths.collect())
    }

    /// The value of `Allow` for this path; `None` if no operation is described there.
    pub(crate) fn of(&self, path: &str) -> Option<HeaderValue> {
        let matches = |pattern: &[String]| {
            pattern.len() == segments(path).count()
                && pattern.iter().zip(segments(path)).all(|(a, b)| a.starts_with('{') || a == b)
        };
        self.0.iter().find(|(pattern, _)| matches(pattern)).map(|(_, allow)| allow.clone())
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

#[cfg(test)]
mod tests {
    use super::AllowedMethods;

    #[test]
    fn a_path_allows_the_methods_of_its_operations() {
        let methods = AllowedMethods::of_description(r#"{"paths": {"/a/{x}": {"get": {}, "delete": {}}}}"#);
        assert_eq!(methods.of("/a/b").unwrap(), "DELETE, GET, HEAD");
        assert_eq!(methods.of("/a"), None);
    }
}
