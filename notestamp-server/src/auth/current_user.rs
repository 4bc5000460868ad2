//! Who is asking: read from the cookies, refreshed on the way where that is needed.

use notestamp_store::{Caller, Error as StoreError, Session, TokenId, UserId};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::session_jar::SessionJar;
use super::tokens::{Claims, Kind, TokenStatus};
use crate::error::ApiError;
use crate::state::State;

/// The user of an open session. An operation that takes this answers 401 to everybody else, before
/// it reads anything of the body.
///
/// A request whose access token is missing or has expired is served by its refresh token, and the
/// response, whatever it is, sets new cookies; but not of a request that may take long (see [`late_cookies`]).
///
/// [`late_cookies`]: crate::middleware::late_cookies
#[derive(Clone, Debug)]
pub struct CurrentUser {
    /// The user.
    pub id: UserId,
    /// The session.
    pub session: Session,
}

impl From<&CurrentUser> for Caller {
    fn from(user: &CurrentUser) -> Self {
        Self::by_session(user.id, user.session.id)
    }
}

impl State {
    /// Finds out who is asking.
    ///
    /// # Errors
    /// 401 where nobody is signed in with these cookies.
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

    /// The session of a good refresh token: rotated, unless new cookies would come late.
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
                // They are as old as the decision to make them, however long the records took.
                jar.made.at(begun);
                Ok(Some(session))
            }
            Ok(None) => Ok(None),
            // A new pair could not be kept; reading needs none.
            Err(StoreError::Full { .. }) => {
                Ok(self.store.use_refresh_token(user, session, token, generation).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The two tokens that came, each as what it is good for.
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

    /// Takes both cookies away.
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
                "Proves who asks, for minutes. Set by signing in; scripts cannot read it.",
            ),
        );
        registry.create_security_scheme(
            REFRESH_SCHEME,
            scheme(
                "__Host-refreshToken",
                "Good for days: a request without a valid access token is served by it, and but for saves and password changes the response sets both anew.",
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
