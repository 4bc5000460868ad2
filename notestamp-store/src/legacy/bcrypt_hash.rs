/// Whether a text is a bcrypt hash that can be verified: `$2b$10$` and 53 characters, also in its older forms.
///
/// A cost beyond 16 would take more than five seconds at each sign-in; the original used 10.
pub(crate) fn is_bcrypt(hash: &str) -> bool {
    let verifiable = || {
        let (version, rest) = hash.strip_prefix("$2")?.split_once('$')?;
        let (cost, rest) = rest.split_once('$')?;
        let is_of_hash = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
        let costs = 4..=16;
        let is_cost = cost.len() == 2 && cost.parse::<u32>().is_ok_and(|cost| costs.contains(&cost));
        Some(
            matches!(version, "a" | "b" | "y") && is_cost && rest.len() == 53 && rest.bytes().all(is_of_hash),
        )
    };
    verifiable().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_that_can_be_verified_are_taken() {
        let digits = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
        for prefix in ["$2a$10$", "$2b$10$", "$2y$04$", "$2b$16$"] {
            assert!(is_bcrypt(&format!("{prefix}{digits}")), "{prefix}");
        }
        for prefix in ["$2x$10$", "$2$10$", "$2b$17$", "$2b$1$", "$2b$3$", "$1$10$", "", "$2b$10"] {
            assert!(!is_bcrypt(&format!("{prefix}{digits}")), "{prefix}");
        }
        for text in [
            "$2b$10$".to_owned() + &digits[1..],
            "$2b$10$".to_owned() + &digits.replace('N', "!"),
            "secret".to_owned(),
        ] {
            assert!(!is_bcrypt(&text), "{text}");
        }
    }
}
