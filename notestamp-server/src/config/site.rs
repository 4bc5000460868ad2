//! The web app that the server serves beside the API.

use std::path::PathBuf;

use clap::ValueHint;
use poem::http::HeaderValue;

use super::InvalidSetting;

/// Scripts come only from the server itself. Styles may be inline: libraries of components add them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; \
    object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

/// The web app beside the API.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct SiteSettings {
    /// Folder with a built web app to serve beside the API: its index.html is the page at / [default: none]
    #[arg(long = "site", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,

    /// Content-Security-Policy of the web app, if it needs more than the server's own origin
    /// [default: scripts, styles and media from the server only]
    #[arg(
        long = "site-csp",
        value_name = "POLICY",
        default_value = CONTENT_SECURITY_POLICY,
        hide_default_value = true,
        value_parser = parse_policy
    )]
    pub content_security_policy: HeaderValue,
}

fn parse_policy(text: &str) -> Result<HeaderValue, InvalidSetting> {
    let value = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty() && value.to_str().is_ok());
    value.ok_or_else(|| InvalidSetting::new("a Content-Security-Policy is one line of ASCII".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse_policy;

    #[test]
    fn a_policy_is_the_value_of_a_header() {
        assert_eq!(parse_policy("default-src *").unwrap(), "default-src *");
        for text in ["", "a\nb", "ä", "a\0"] {
            assert!(parse_policy(text).is_err(), "{text:?}");
        }
    }
}
