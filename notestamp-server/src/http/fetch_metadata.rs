//! Which part of a page sent a request (W3C, Fetch Metadata Request Headers).

use poem::http::header::{HeaderMap, HeaderName};

use super::single_header::Single;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Returns whether the request comes from an audio or video element that can follow a redirect to another origin.
///
/// An element with a `crossorigin` attribute cannot: like a script it sends its request in the mode `cors`, and if it
/// sends credentials, the browser does not let it read a bucket's response.
pub(crate) fn is_player(headers: &HeaderMap) -> bool {
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
    fn a_player_in_cors_mode_does_not_count() {
        assert!(!player(&[(SEC_FETCH_DEST, "audio"), (SEC_FETCH_MODE, "cors")]));
    }

    #[test]
    fn a_header_that_occurs_twice_is_ignored() {
        assert!(!player(&[(SEC_FETCH_DEST, "audio"), (SEC_FETCH_DEST, "audio")]));
    }
}
