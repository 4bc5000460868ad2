use std::collections::HashSet;
use std::sync::LazyLock;

/// The most common passwords of those that are long enough to be valid, in lower case.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("common_passwords.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
});

/// Returns whether a password is one of the most common ones; letter case does not count.
pub(super) fn is_common(password: &str) -> bool {
    COMMON.contains(password.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::is_common;

    #[test]
    fn the_first_guesses_are_common_in_any_letter_case() {
        assert!(is_common("password"));
        assert!(is_common("Password1"));
        assert!(!is_common("seventeen otters in a canoe"));
    }
}
