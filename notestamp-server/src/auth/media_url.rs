//! Signed media URLs, for clients that fetch media without cookies.

use notestamp_store::{ProjectId, SessionId, Timestamp};

use super::keys::SigningKeys;
use super::purpose_keys::PurposeKeys;
use crate::config::{MEDIA_URL_STEP, MEDIA_URL_TTL_MAX};
use crate::middleware::base_url::BaseUrl;

/// Makes and verifies the URLs: HMAC-SHA-256 (RFC 2104) over project, session and expiry.
///
/// A client that has such a URL can read this one project's media until the URL expires or the session ends.
#[derive(Debug)]
pub(crate) struct MediaUrls {
    keys: PurposeKeys,
}

const PURPOSE: &[u8] = b"notestamp-server media url 1";

impl MediaUrls {
    /// Signs with keys that are derived from these.
    pub(crate) fn new(keys: &SigningKeys) -> Self {
        Self { keys: PurposeKeys::derive(keys, PURPOSE) }
    }

    /// A URL of the project's media, valid for 10 to 15 minutes while this session is open.
    pub(crate) fn url(
        &self,
        base: &BaseUrl,
        project: ProjectId,
        session: SessionId,
        now: Timestamp,
    ) -> String {
        let latest = now.after(MEDIA_URL_TTL_MAX).as_secs();
        let expires = latest - latest.rem_euclid(MEDIA_URL_STEP.as_secs() as i64);
        let (base, signature) = (base.as_str(), self.keys.sign(&message(project, session, expires)));
        format!("{base}/media/{project}?session={session}&expires={expires}&signature={signature}")
    }

    /// Returns whether the server has signed this URL.
    pub(crate) fn verify(&self, grant: &MediaGrant) -> bool {
        let MediaGrant { project, session, expires, .. } = *grant;
        self.keys.verify(&message(project, session, expires), &grant.signature)
    }
}

/// The message that is signed. All three parts have a fixed length, so that no two messages have the same bytes.
fn message(project: ProjectId, session: SessionId, expires: i64) -> Vec<u8> {
    [project.as_bytes().as_slice(), session.as_bytes(), &expires.to_be_bytes()].concat()
}

/// The parameters of a URL, not yet verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MediaGrant {
    /// The project whose media may be read.
    pub(crate) project: ProjectId,
    /// The session for which the URL was made; the URL is invalid once it has ended.
    pub(crate) session: SessionId,
    /// When the URL expires, in seconds since 1970.
    pub(crate) expires: i64,
    /// The HMAC of the other three, in hex digits.
    pub(crate) signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TWO: &str = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn urls(keys: &str) -> MediaUrls {
        MediaUrls::new(&SigningKeys::parse(keys, "keys").unwrap())
    }

    fn grant(by: &MediaUrls) -> MediaGrant {
        let (project, session) = (ProjectId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let url = by.url(&BaseUrl::new("http://h/"), project, session, Timestamp::from_millis(1_000_500));
        let expected = format!("http://h/media/{project}?session={session}&expires=1800&signature=");
        let signature = url.strip_prefix(&expected).unwrap().to_owned();
        MediaGrant { project, session, expires: 1800, signature }
    }

    #[test]
    fn all_keys_verify_and_the_first_signs() {
        let (one, two, both) = (urls(ONE), urls(TWO), urls(&format!("{TWO} {ONE}")));
        assert!(one.verify(&grant(&one)) && both.verify(&grant(&one)) && both.verify(&grant(&two)));
        assert!(!two.verify(&grant(&one)) && !one.verify(&grant(&both)));
        assert_eq!(grant(&both), grant(&two));
    }

    #[test]
    fn urls_of_the_same_five_minutes_are_equal_and_valid_for_ten_to_fifteen_minutes() {
        let (urls, base) = (urls(ONE), BaseUrl::new("http://h"));
        let at = |second: i64| {
            let (project, session) = (ProjectId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
            urls.url(&base, project, session, Timestamp::from_millis(second * 1000 + 999))
        };
        for second in 0..300 {
            assert_eq!(at(600 + second), at(600), "{second}");
            assert!(at(600 + second).contains("expires=1500&"), "{second}");
        }
        assert!(at(599).contains("expires=1200&") && at(900).contains("expires=1800&"));
    }

    #[test]
    fn a_url_with_any_change_is_refused() {
        let urls = urls(ONE);
        let good = grant(&urls);
        let flipped = if good.signature.starts_with('0') { "1" } else { "0" };
        for bad in [
            MediaGrant { project: ProjectId::from_bytes([3; 16]), ..good.clone() },
            MediaGrant { session: SessionId::from_bytes([3; 16]), ..good.clone() },
            MediaGrant { expires: 1801, ..good.clone() },
            MediaGrant { signature: format!("{flipped}{}", &good.signature[1..]), ..good.clone() },
            MediaGrant { signature: good.signature[2..].to_owned(), ..good.clone() },
            MediaGrant { signature: good.signature[1..].to_owned(), ..good.clone() },
            MediaGrant { signature: format!("{}00", good.signature), ..good.clone() },
            MediaGrant { signature: "é".repeat(32), ..good.clone() },
            MediaGrant { signature: String::new(), ..good.clone() },
        ] {
            assert!(!urls.verify(&bad), "{bad:?}");
        }
        assert!(urls.verify(&good));
    }
}
