//! The rules of the middleware that differ from path to path, as data.

/// The rules for a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How large a body may be.
    body: BodyLimit,
    /// Whether a response may set new tokens of a session that this request refreshed; if not, a valid refresh token
    /// authenticates the request without rotation. False if the response may take long (see
    /// [`late_cookies`](super::late_cookies)).
    pub(crate) delivers_refreshed_tokens: bool,
    /// The `Content-Security-Policy` (CSP Level 3) of a response that sets none itself.
    pub(crate) content_security: &'static str,
    /// The `Cache-Control` of a response that sets none itself.
    pub(crate) cache: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum BodyLimit {
    /// Forms with a handful of fields.
    Small,
    /// Media, notes and metadata: each has its own limit, and this is their sum.
    Upload,
}

/// A response for programs: a browser that navigates to it shows it, and runs or loads nothing.
const API: Policy = Policy {
    body: BodyLimit::Small,
    delivers_refreshed_tokens: true,
    content_security: "default-src 'none'; frame-ancestors 'none'",
    cache: "no-store",
};

/// The body takes as long as the client needs, and then everything must be written.
const UPLOAD: Policy = Policy { body: BodyLimit::Upload, delivers_refreshed_tokens: false, ..API };

/// Waits for the body, and for its turn to hash. If it succeeds, it sets the cookies of a new session.
const PASSWORD: Policy = Policy { delivers_refreshed_tokens: false, ..API };

/// Bytes that a user uploaded: a browser that navigates to them shows them in a sandbox. Audio and video set their own
/// policy, see `media_response`.
const MEDIA: Policy = Policy { content_security: "sandbox", ..API };

/// The page about the server.
const PAGE: Policy = Policy {
    content_security: "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    cache: "no-cache",
    ..API
};

/// Swagger UI has its scripts and styles in the page, and connects only to this server.
const DOCS: Policy = Policy {
    content_security: "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                       img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; \
                       frame-ancestors 'none'",
    cache: "no-cache",
    ..API
};

/// Whether the operations of a path use the accounts or the projects.
pub(crate) fn needs_store(path: &str) -> bool {
    ["/auth/", "/home/", "/project/", "/media/"].iter().any(|prefix| path.starts_with(prefix))
}

/// The rules by path prefix; the first match counts.
const BY_PATH: &[(&str, Policy)] = &[
    ("/auth/password", PASSWORD),
    ("/home/upload", UPLOAD),
    ("/home/media", MEDIA),
    ("/home/stream-", MEDIA),
    ("/project/save", UPLOAD),
    ("/project/media/", MEDIA),
    ("/project/notes/", MEDIA),
    ("/media/stream/", API),
    ("/media/", MEDIA),
    ("/docs", DOCS),
];

impl Policy {
    /// The rules for a path.
    pub(crate) fn of(path: &str) -> Self {
        if path == "/" {
            return PAGE;
        }
        let found = BY_PATH.iter().find(|(beginning, _)| path.starts_with(beginning));
        found.map_or(API, |(_, policy)| *policy)
    }

    /// How many bytes a body may have, if uploads may have `upload_bytes_max`.
    pub(crate) fn body_bytes_max(&self, upload_bytes_max: u64) -> u64 {
        match self.body {
            BodyLimit::Small => crate::config::BODY_BYTES_MAX as u64,
            BodyLimit::Upload => upload_bytes_max,
        }
    }
}
