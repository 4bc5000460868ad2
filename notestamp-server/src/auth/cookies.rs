//! The two cookies of a session: out of reach for scripts, and only over secure connections.

use std::time::Duration;

use notestamp_store::Timestamp;
use poem::http::header::{COOKIE, HeaderMap, HeaderValue};
use poem::web::cookie::{Cookie, CookieJar, SameSite};

use crate::config::{self, Cookies};

/// How the session's cookies are written and read.
#[derive(Clone, Copy, Debug)]
pub struct SessionCookies {
    same_site: SameSite,
    /// Only over secure connections. Browsers count `http://localhost` as one.
    secure: bool,
}

impl SessionCookies {
    /// As the configuration says.
    pub fn new(config: &Cookies) -> Self {
        let same_site = match config.same_site {
            config::SameSite::Lax => SameSite::Lax,
            config::SameSite::Strict => SameSite::Strict,
            config::SameSite::None => SameSite::None,
        };
        Self { same_site, secure: !config.insecure }
    }

    /// The name of the access token's cookie. Its prefix makes browsers demand `Secure`, `Path=/`
    /// and no `Domain`, so without `Secure` there cannot be one.
    pub fn access_name(&self) -> &'static str {
        if self.secure { "__Host-accessToken" } else { "accessToken" }
    }

    /// The name of the refresh token's cookie.
    pub fn refresh_name(&self) -> &'static str {
        if self.secure { "__Host-refreshToken" } else { "refreshToken" }
    }

    /// Leaves of the cookies that came only the session's, and those in a form that the jar can read.
    ///
    /// The jar ignores all cookies for one byte that is not ASCII, so that what another program on the
    /// same host has set would sign people out; and a value that it cannot decode, so that a damaged
    /// token would pass for a missing one.
    pub fn keep_own(&self, headers: &mut HeaderMap) {
        let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
        let own: Vec<_> = pairs.filter_map(|pair| self.own(pair)).collect();
        headers.remove(COOKIE);
        if !own.is_empty() {
            let kept = HeaderValue::from_str(&own.join("; ")).expect("names and tokens are visible ASCII");
            headers.insert(COOKIE, kept);
        }
    }

    /// This cookie if it is one of the session's, with `!` for each byte that is in no token.
    fn own(&self, pair: &[u8]) -> Option<String> {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let name =
            [self.access_name(), self.refresh_name()].into_iter().find(|own| own.as_bytes() == name)?;
        let in_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let value = value.iter().map(|byte| if in_a_token(byte) { char::from(*byte) } else { '!' });
        Some(format!("{name}={}", value.collect::<String>()))
    }

    /// The value of a cookie that came.
    pub fn value(&self, jar: &CookieJar, name: &str) -> Option<String> {
        jar.get(name).map(|cookie| cookie.value_str().to_owned())
    }

    /// Sets a cookie for as long as its token is good.
    pub fn set(&self, jar: &CookieJar, name: &str, token: &str, expires: Timestamp, now: Timestamp) {
        let mut cookie = self.cookie(name, token);
        cookie.set_max_age(Duration::from_secs(expires.since(now).as_secs()));
        jar.add(cookie);
    }

    /// Takes both cookies away.
    pub fn clear(&self, jar: &CookieJar) {
        for name in [self.access_name(), self.refresh_name()] {
            let mut cookie = self.cookie(name, "");
            cookie.make_removal();
            jar.add(cookie);
        }
    }

    fn cookie(&self, name: &str, value: &str) -> Cookie {
        let mut cookie = Cookie::new_with_str(name, value);
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_secure(self.secure);
        cookie.set_same_site(Some(self.same_site));
        cookie
    }
}
