//! The two cookies of a session and the device cookie: `HttpOnly`, and `Secure` unless the operator allows insecure
//! cookies.

use std::time::Duration;

use notestamp_store::Timestamp;
use poem::http::header::{COOKIE, HeaderMap, HeaderValue};
use poem::web::cookie::{Cookie, CookieJar, SameSite};

use crate::config::Cookies;

/// How the session's cookies are written and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionCookies {
    same_site: SameSite,
    /// Sets `Secure`: only over https. Browsers treat `http://localhost` as secure too.
    secure: bool,
}

impl SessionCookies {
    /// Cookies with the attributes that the configuration names.
    pub(crate) fn new(config: &Cookies) -> Self {
        Self { same_site: config.same_site, secure: !config.insecure }
    }

    /// The name of the access token's cookie. The prefix `__Host-` makes browsers demand
    /// `Secure`, `Path=/` and no `Domain`, so it cannot be used without `Secure`.
    pub(crate) fn access_name(&self) -> &'static str {
        if self.secure { "__Host-accessToken" } else { "accessToken" }
    }

    /// The name of the refresh token's cookie.
    pub(crate) fn refresh_name(&self) -> &'static str {
        if self.secure { "__Host-refreshToken" } else { "refreshToken" }
    }

    /// The name of the device cookie.
    pub(crate) fn device_name(&self) -> &'static str {
        if self.secure { "__Host-deviceToken" } else { "deviceToken" }
    }

    /// Keeps only the server's own cookies in the `Cookie` header, in a form that the cookie jar can read.
    ///
    /// The jar ignores all cookies if one byte is not ASCII, so a cookie of another program on the same host would sign
    /// users out. It also ignores a value that it cannot decode, so a damaged token would look like a missing one.
    pub(crate) fn keep_own(&self, headers: &mut HeaderMap) {
        let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
        let own: Vec<_> = pairs.filter_map(|pair| self.own(pair)).collect();
        headers.remove(COOKIE);
        if !own.is_empty() {
            let kept = HeaderValue::from_str(&own.join("; ")).expect("names and tokens are visible ASCII");
            headers.insert(COOKIE, kept);
        }
    }

    /// Returns this cookie if it is one of the server's own, with `!` in place of each byte that no token contains.
    fn own(&self, pair: &[u8]) -> Option<String> {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let own = [self.access_name(), self.refresh_name(), self.device_name()];
        let name = own.into_iter().find(|own| own.as_bytes() == name)?;
        let in_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let value = value.iter().map(|byte| if in_a_token(byte) { char::from(*byte) } else { '!' });
        Some(format!("{name}={}", value.collect::<String>()))
    }

    /// The value of a cookie of the request.
    pub(crate) fn value(&self, jar: &CookieJar, name: &str) -> Option<String> {
        jar.get(name).map(|cookie| cookie.value_str().to_owned())
    }

    /// Sets a cookie that lasts until its token expires.
    pub(crate) fn set(&self, jar: &CookieJar, name: &str, token: &str, expires: Timestamp, now: Timestamp) {
        self.set_for(jar, name, token, Duration::from_secs(expires.since(now).as_secs()));
    }

    /// Sets a cookie that lasts for this time.
    pub(crate) fn set_for(&self, jar: &CookieJar, name: &str, value: &str, age: Duration) {
        let mut cookie = self.cookie(name, value);
        cookie.set_max_age(age);
        jar.add(cookie);
    }

    /// Makes the browser delete both cookies of the session.
    pub(crate) fn delete(&self, jar: &CookieJar) {
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
