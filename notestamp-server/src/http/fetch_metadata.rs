//! What a browser says of whom it asks for (W3C, Fetch Metadata Request Headers).

use poem::http::header::{HeaderMap, HeaderName};

use super::single_header::Single;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether a player of a page asks, who follows a redirect to another origin.
///
/// One with a `crossorigin` attribute does not: like a script it asks in the mode `cors`, and where it
/// sends credentials along, a bucket's answer is kept from it.
pub fn is_player(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, word: &str| {
        Single::of(headers, &name).one().is_some_and(|value| value.as_bytes() == word.as_bytes())
    };
    (says(SEC_FETCH_DEST, "audio") || says(SEC_FETCH_DEST, "video")) && !says(SEC_FETCH_MODE, "cors")
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn player(lines: &[(HeaderName, &'static str)]) -> bool {
        let lines = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        is_player(&lines.collect())
    }

    #[test]
    fn audio_and_video_elements_are_players() {
        for dest in ["audio", "video"] {
            assert!(player(&[(SEC_FETCH_DEST, dest)]));
            assert!(player(&[(SEC_FETCH_DEST, dest), (SEC_FETCH_MODE, "no-cors")]));
        }
    }

    #[test]
    fn scripts_documents_and_programs_are_not() {
        assert!(!player(&[]));
        for dest in ["empty", "document", "iframe", "object", "image", "AUDIO", ""] {
            assert!(!player(&[(SEC_FETCH_DEST, dest), (SEC_FETCH_MODE, "no-cors")]), "{dest}");
        }
    }

    #[test]
    fn a_player_that_wants_to_read_across_origins_is_not() {
        assert!(!player(&[(SEC_FETCH_DEST, "audio"), (SEC_FETCH_MODE, "cors")]));
    }

    #[test]
    fn what_is_said_twice_is_not_said() {
        assert!(!player(&[(SEC_FETCH_DEST, "audio"), (SEC_FETCH_DEST, "audio")]));
    }
}
