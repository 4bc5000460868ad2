/// `url` as it may be shown: without user name, password and query, any of which can hold a secret.
///
/// It reads the text rather than a parsed URL, because it also serves messages about what is no URL,
/// and several hosts in one URL are none to the parser.
///
/// ```text
/// mongodb://ann:secret@a,b/notes?x=y  ->  mongodb://…@a,b/notes?…
/// ```
pub(super) fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // The last `@` before any query: a password that should have been escaped may hold `@`, `/` and `?`.
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
