//! The password hashes of the original Node backend (bcrypt), which accounts keep until their first sign-in.

use notestamp_store::PasswordHash;

/// Whether a hash is one of bcrypt.
pub(super) fn is_bcrypt(hash: &PasswordHash) -> bool {
    hash.as_phc().starts_with("$2")
}

/// Returns whether a hash is of this password, as it was typed: the original has hashed the bytes that it received, and
/// bcrypt takes the first 72 of them. False if the hash is damaged. Blocks.
pub(super) fn verify(typed: &[u8], hash: &PasswordHash) -> bool {
    bcrypt::verify(typed, hash.as_phc()).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hash(password: &[u8]) -> PasswordHash {
        PasswordHash::new(bcrypt::hash(password, 4).unwrap())
    }

    #[test]
    fn passwords_are_compared_as_the_original_did() {
        let long = "x".repeat(80);
        for (hashed, typed, matches) in [
            ("abc", "abc", true),
            ("abc", "abd", false),
            (&long[..72], &long[..], true),
            (&long[..71], &long[..], false),
            ("jose\u{301}", "jose\u{301}", true),
            ("jose\u{301}", "jos\u{e9}", false),
        ] {
            assert_eq!(verify(typed.as_bytes(), &hash(hashed.as_bytes())), matches, "{typed}");
        }
    }

    #[test]
    fn a_hash_of_the_node_library_is_verified() {
        // `bcrypt.hash("password", 10)` of the npm package `bcrypt`, from its documentation's form `$2b$`.
        let known = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
        assert!(is_bcrypt(&PasswordHash::new(known)));
        assert!(!verify(b"another", &PasswordHash::new(known)));
        assert!(!verify(b"x", &PasswordHash::new("$2b$10$damaged")));
        assert!(!is_bcrypt(&PasswordHash::new("$argon2id$v=19$")));
    }
}
