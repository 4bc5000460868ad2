//! Access and refresh tokens: JSON Web Tokens (RFC 7519) that carry a session.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use notestamp_store::{Session, SessionId, SessionTtl, Timestamp, TokenId, UserId};
use serde::{Deserialize, Serialize};

use super::keys::SigningKeys;

/// Which of the two purposes a token serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Authenticates a user, for minutes.
    Access,
    /// Buys the next pair, for days.
    Refresh,
}

/// The claims of an authentic token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claims {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) token: TokenId,
    pub(crate) generation: u64,
}

/// The validity of a token in a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TokenStatus {
    /// The request has no such token, or an empty one.
    Missing,
    /// Authentic, and has not expired.
    Valid(Claims),
    /// Authentic, but has expired.
    Expired(Claims),
    /// Malformed, not authentic, or of the other kind.
    Bad,
}

impl TokenStatus {
    /// The claims of a valid or expired token.
    pub(crate) fn authentic(&self) -> Option<&Claims> {
        match self {
            Self::Valid(claims) | Self::Expired(claims) => Some(claims),
            Self::Missing | Self::Bad => None,
        }
    }
}

/// Makes and reads tokens.
pub(crate) struct Tokens {
    signing: EncodingKey,
    header: Header,
    /// The keys that verify, each with its id: the header of a token names one (`kid`, RFC 7515, 4.1.4).
    verifying: Vec<(String, DecodingKey)>,
    validation: Validation,
}

/// Shows no key.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

const ISSUER: &str = "notestamp-server";
const AUDIENCE: &str = "notestamp";
const ALGORITHM: Algorithm = Algorithm::HS256;

/// The claims as they are serialized. Each is required, and of exactly this type.
#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    jti: String,
    kind: Kind,
    /// The generation of the session (see `Session`).
    r#gen: u64,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Signs with the first key, and verifies with all.
    pub(crate) fn new(keys: &SigningKeys) -> Self {
        let signing = keys.signing();
        let mut validation = Validation::new(ALGORITHM);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The expiry is checked by the clock that the server was given.
        validation.validate_exp = false;
        Self {
            signing: EncodingKey::from_secret(signing.secret()),
            header: Header { kid: Some(signing.id().to_owned()), ..Header::new(ALGORITHM) },
            verifying: keys
                .iter()
                .map(|key| (key.id().to_owned(), DecodingKey::from_secret(key.secret())))
                .collect(),
            validation,
        }
    }

    /// The session's current refresh token: a function of the session and the signing key, so that every request gets
    /// the same token.
    pub(crate) fn refresh_token(&self, session: &Session) -> String {
        self.sign(Kind::Refresh, session, session.current, session.rotated_at, session.refresh_expires)
    }

    /// A new access token of the session, and when it expires.
    pub(crate) fn access_token(
        &self,
        session: &Session,
        id: TokenId,
        ttl: &SessionTtl,
        now: Timestamp,
    ) -> (String, Timestamp) {
        let expires = now.after(ttl.access).min(session.absolute_end);
        (self.sign(Kind::Access, session, id, now, expires), expires)
    }

    fn sign(
        &self,
        kind: Kind,
        session: &Session,
        id: TokenId,
        issued: Timestamp,
        expires: Timestamp,
    ) -> String {
        let wire = Wire {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: session.user.to_string(),
            sid: session.id.to_string(),
            jti: id.to_string(),
            kind,
            r#gen: session.generation,
            iat: issued.as_secs(),
            exp: expires.as_secs(),
        };
        jsonwebtoken::encode(&self.header, &wire, &self.signing)
            .expect("claims of strings and numbers can be signed")
    }

    /// Verifies a token that the request sent as `kind`.
    pub(crate) fn read(&self, kind: Kind, token: Option<&str>, now: Timestamp) -> TokenStatus {
        match token {
            None | Some("") => TokenStatus::Missing,
            Some(token) => self.verify(kind, token, now).unwrap_or(TokenStatus::Bad),
        }
    }

    fn verify(&self, kind: Kind, token: &str, now: Timestamp) -> Option<TokenStatus> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let id = header.kid?;
        let (_, key) = self.verifying.iter().find(|(of_key, _)| *of_key == id)?;
        let wire = jsonwebtoken::decode::<Wire>(token, key, &self.validation).ok()?.claims;
        // `iat` may lie in the future: the signature is ours, and our clock may have been set back since.
        if wire.kind != kind || wire.iat > wire.exp {
            return None;
        }
        let claims = Claims {
            user: wire.sub.parse().ok()?,
            session: wire.sid.parse().ok()?,
            token: wire.jti.parse().ok()?,
            generation: wire.r#gen,
        };
        let in_time = now.as_secs() < wire.exp;
        Some(if in_time { TokenStatus::Valid(claims) } else { TokenStatus::Expired(claims) })
    }
}
