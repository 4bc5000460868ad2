//! Authenticates a request by its cookies, and refreshes the session's tokens where needed.

use notestamp_store::{Caller, Error as StoreError, Session, TokenId, UserId};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::session_jar::SessionJar;
use super::tokens::{Claims, Kind, TokenStatus};
use crate::error::ApiError;
use crate::state::State;

/// The user of an open session. An operation that takes this responds with 401 without one, before it reads any of
/// the body.
///
/// A request whose access token is missing or has expired is authenticated by its refresh token, and the response,
/// whatever its status, sets new cookies; except for a request that may take long (see [`late_cookies`]).
///
/// [`late_cookies`]: crate::middleware::late_cookies
#[derive(Clone, Debug)]
pub struct CurrentUser {
    /// Whose session it is.
    pub id: UserId,
    /// The session as the store holds it, refreshed where that was needed.
    pub session: Session,
}

impl From<&CurrentUser> for Caller {
    fn from(user: &CurrentUser) -> Self {
        Self::by_session(user.id, user.session.id)
    }
}

impl State {
    /// Authenticates the request that these cookies came with; may set new ones.
    ///
    /// # Errors
    /// 401 if the cookies hold no valid tokens of an open session, or tokens of two sessions; those of the store.
    pub async fn authenticate(&self, jar: &SessionJar) -> Result<CurrentUser, ApiError> {
        let (access, refresh) = self.presented(jar);
        if let (Some(access), Some(refresh)) = (access.authentic(), refresh.authentic())
            && access.session != refresh.session
        {
            return Err(ApiError::unauthorized());
        }
        let session = match (access, refresh) {
            (TokenStatus::Valid(access), _) => {
                self.store.use_session(access.user, access.session, access.generation).await?
            }
            (TokenStatus::Missing | TokenStatus::Expired(_), TokenStatus::Valid(refresh)) => {
                self.use_refresh_token(jar, refresh).await?
            }
            _ => None,
        };
        let session = session.ok_or_else(ApiError::unauthorized)?;
        Ok(CurrentUser { id: session.user, session })
    }

    /// Returns the session of a valid refresh token; rotates the token, unless new cookies could come late.
    async fn use_refresh_token(
        &self,
        jar: &SessionJar,
        refresh: Claims,
    ) -> Result<Option<Session>, ApiError> {
        let Claims { user, session, token, generation } = refresh;
        if !jar.delivers_refreshed_tokens {
            return Ok(self.store.use_refresh_token(user, session, token, generation).await?);
        }
        let begun = self.clock.monotonic();
        match self.store.refresh_session(user, session, token, generation).await {
            Ok(Some(session)) => {
                self.set_cookies(jar, &session);
                // The cookies' age counts from before the call to the record store, however long that took.
                jar.made.at(begun);
                Ok(Some(session))
            }
            Ok(None) => Ok(None),
            // The storage is full, so the rotation cannot be stored; reads work without it.
            Err(StoreError::Full { .. }) => {
                Ok(self.store.use_refresh_token(user, session, token, generation).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The status of the access token and of the refresh token of the request.
    pub fn presented(&self, jar: &SessionJar) -> (TokenStatus, TokenStatus) {
        let now = self.clock.now();
        let read = |kind, name| {
            let token = self.cookies.value(&jar.cookies, name);
            self.tokens.read(kind, token.as_deref(), now)
        };
        (read(Kind::Access, self.cookies.access_name()), read(Kind::Refresh, self.cookies.refresh_name()))
    }

    /// Sets both cookies to tokens of this session.
    pub fn set_cookies(&self, jar: &SessionJar, session: &Session) {
        let now = self.clock.now();
        jar.made.at(self.clock.monotonic());
        let id = TokenId::generate(now, &*self.random);
        let ttl = &self.store.settings().session_ttl;
        let (access, expires) = self.tokens.access_token(session, id, ttl, now);
        self.cookies.set(&jar.cookies, self.cookies.access_name(), &access, expires, now);
        let refresh = self.tokens.refresh_token(session);
        self.cookies.set(&jar.cookies, self.cookies.refresh_name(), &refresh, session.refresh_expires, now);
    }

    /// Makes the browser remove both cookies.
    pub fn clear_cookies(&self, jar: &SessionJar) {
        jar.made.at(self.clock.monotonic());
        self.cookies.clear(&jar.cookies);
    }
}

const ACCESS_SCHEME: &str = "AccessToken";
const REFRESH_SCHEME: &str = "RefreshToken";

impl<'a> ApiExtractor<'a> for CurrentUser {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |name, description| MetaSecurityScheme {
            ty: "apiKey",
            description: Some(description),
            name: Some(name),
            key_in: Some("cookie"),
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(
            ACCESS_SCHEME,
            scheme(
                "__Host-accessToken",
                "Authenticates the user for some minutes. Set by a sign-in; scripts cannot read it.",
            ),
        );
        registry.create_security_scheme(
            REFRESH_SCHEME,
            scheme(
                "__Host-refreshToken",
                "Renews the session for days: if the access token is missing or invalid, a request is authenticated by this token, and the response sets new tokens in both cookies (except for saves and password changes).",
            ),
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![ACCESS_SCHEME, REFRESH_SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(State::of(request).authenticate(&SessionJar::of(request)).await?)
    }
}
