//! Authenticates requests by their cookies, and refreshes the tokens of their sessions where needed.

use std::net::IpAddr;
use std::sync::Arc;

use notestamp_store::{Caller, Clock, Error as StoreError, Random, Session, Store, TokenId, User, UserId};
use poem::Request;

use super::cookies::SessionCookies;
use super::device_cookie::DeviceCookie;
use super::media_url::{MediaGrant, MediaUrls};
use super::session_jar::SessionJar;
use super::tokens::{Claims, Kind, TokenStatus, Tokens};
use crate::config::DEVICE_COOKIE_AGE;
use crate::error::ApiError;

/// Decides who sends a request: by the tokens in its cookies, or for media by the signature of its URL.
#[derive(Debug)]
pub(crate) struct Authenticator {
    /// Holds the sessions.
    pub(crate) store: Store,
    /// Makes and reads the tokens.
    pub(crate) tokens: Tokens,
    /// Carry the tokens.
    pub(crate) cookies: SessionCookies,
    /// Makes and verifies the URLs of media that need no cookies.
    pub(crate) media_urls: MediaUrls,
    /// Tells the browsers that have signed in to an account before.
    pub(crate) device_cookie: DeviceCookie,
    /// Says whether a token or a URL has expired.
    pub(crate) clock: Arc<dyn Clock>,
    /// Makes the ids of access tokens.
    pub(crate) random: Arc<dyn Random>,
}

/// The user of an open session. An operation that takes this responds with 401 without one, before it reads any of
/// the body.
///
/// A request whose access token is missing or has expired is authenticated by its refresh token, and the response,
/// whatever its status, sets new cookies; except for a request that may take long (see [`late_cookies`]).
///
/// [`late_cookies`]: crate::middleware::late_cookies
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser {
    /// Whose session it is.
    pub(crate) id: UserId,
    /// The session as the store holds it, refreshed if that was needed.
    pub(crate) session: Session,
    /// The address of the request, or its IPv6 network; `None` if it is unknown.
    pub(crate) address: Option<IpAddr>,
}

impl From<&CurrentUser> for Caller {
    fn from(user: &CurrentUser) -> Self {
        Self::by_session(user.id, user.session.id).at(user.address)
    }
}

impl Authenticator {
    /// The authenticator that the routes give to every request.
    pub(super) fn of(request: &Request) -> &Self {
        request.data::<Arc<Self>>().expect("the routes give the authenticator to every request")
    }

    /// Authenticates the request that these cookies came with; may set new ones.
    ///
    /// # Errors
    /// 401 if the cookies hold no valid tokens of an open session, or tokens of two sessions; those of the store.
    pub(crate) async fn authenticate(&self, jar: &SessionJar) -> Result<CurrentUser, ApiError> {
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
        Ok(CurrentUser { id: session.user, session, address: jar.address })
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
    pub(crate) fn presented(&self, jar: &SessionJar) -> (TokenStatus, TokenStatus) {
        let now = self.clock.now();
        let read = |kind, name| {
            let token = self.cookies.value(&jar.cookies, name);
            self.tokens.read(kind, token.as_deref(), now)
        };
        (read(Kind::Access, self.cookies.access_name()), read(Kind::Refresh, self.cookies.refresh_name()))
    }

    /// Sets both cookies to tokens of this session.
    pub(crate) fn set_cookies(&self, jar: &SessionJar, session: &Session) {
        let now = self.clock.now();
        jar.made.at(self.clock.monotonic());
        let id = TokenId::generate(now, &*self.random);
        let ttl = &self.store.settings().session_ttl;
        let (access, expires) = self.tokens.access_token(session, id, ttl, now);
        self.cookies.set(&jar.cookies, self.cookies.access_name(), &access, expires, now);
        let refresh = self.tokens.refresh_token(session);
        self.cookies.set(&jar.cookies, self.cookies.refresh_name(), &refresh, session.refresh_expires, now);
    }

    /// Lets the browser be known as one that has signed in to this account.
    pub(crate) fn set_device_cookie(&self, jar: &SessionJar, account: &User) {
        let value = self.device_cookie.value(account);
        self.cookies.set_for(&jar.cookies, self.cookies.device_name(), &value, DEVICE_COOKIE_AGE);
    }

    /// Returns whether the request has a device cookie, of any account.
    pub(crate) fn has_device_cookie(&self, jar: &SessionJar) -> bool {
        self.device_value(jar).is_some_and(|value| value.len() == DeviceCookie::DIGITS)
    }

    /// Returns whether the browser has signed in to this account before, with its present password.
    pub(crate) fn knows_device(&self, jar: &SessionJar, account: &User) -> bool {
        self.device_value(jar).is_some_and(|value| self.device_cookie.verify(&value, account))
    }

    fn device_value(&self, jar: &SessionJar) -> Option<String> {
        self.cookies.value(&jar.cookies, self.cookies.device_name())
    }

    /// Makes the browser delete both cookies of the session.
    pub(crate) fn delete_cookies(&self, jar: &SessionJar) {
        jar.made.at(self.clock.monotonic());
        self.cookies.delete(&jar.cookies);
    }

    /// Returns the caller on whose behalf a URL grants its project's media without cookies; `None` if the signature is
    /// invalid, the URL has expired, or its session has ended.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn grantor(&self, grant: &MediaGrant) -> Result<Option<Caller>, ApiError> {
        if !self.media_urls.verify(grant) || self.clock.now().as_secs() >= grant.expires {
            return Ok(None);
        }
        let session = self.store.find_open_session(grant.session).await?;
        Ok(session.map(|session| Caller::by_session(session.user, session.id)))
    }
}
