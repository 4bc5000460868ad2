/// `url` as messages may show it: without user name, password and query, each of which may contain a secret.
///
/// It works on the text rather than on a parsed URL, because messages about invalid URLs use it too, and the parser
/// refuses a URL with several hosts.
///
/// ```text
/// mongodb://ann:secret@a,b/notes?x=y  ->  mongodb://…@a,b/notes?…
/// ```
pub(super) fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // The last `@` of all: a password that was not escaped may contain `@`, `/` and `?`.
    let (userinfo, rest) = match rest.rsplit_once('@') {
        Some((_, host)) => ("…@", host),
        None => ("", rest),
    };
    match rest.split_once('?') {
        Some((place, _)) => format!("{scheme}{userinfo}{place}?…"),
        None => format!("{scheme}{userinfo}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn no_part_of_a_password_is_shown() {
        for (url, shown) in [
            ("mongodb://ann:secret@a:1,b:2/notes?replicaSet=rs0", "mongodb://…@a:1,b:2/notes?…"),
            ("mongodb://ann:se@cr/et?@host/notes", "mongodb://…@host/notes"),
            ("ann:secret@host", "…@host"),
            ("s3://bucket/prefix?secret_access_key=secret", "s3://bucket/prefix?…"),
            ("file:///var/notes", "file:///var/notes"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
