//! What differs between paths at the edge, as data.

/// The rules for a path.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How much a body may be.
    body: BodyLimit,
    /// Whether a response may set new tokens of a session that was refreshed on the way; else a good refresh token
    /// serves the request as it is. Not where it may take long until the response comes (see
    /// [`late_cookies`](super::late_cookies)).
    pub delivers_refreshed_tokens: bool,
    /// What a browser may do with the answer (CSP Level 3), where it does not say so itself.
    pub content_security: &'static str,
    /// Who may keep the answer, where it does not say so itself.
    pub cache: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum BodyLimit {
    /// Forms with a handful of fields.
    Small,
    /// Media, notes and metadata: each has its own limit, and this is their sum.
    Upload,
}

/// An answer for programs: a browser that is led to it shows it, and does nothing with it.
const API: Policy = Policy {
    body: BodyLimit::Small,
    delivers_refreshed_tokens: true,
    content_security: "default-src 'none'; frame-ancestors 'none'",
    cache: "no-store",
};

/// Takes as long as its sender likes, and then until everything is written.
const UPLOAD: Policy = Policy { body: BodyLimit::Upload, delivers_refreshed_tokens: false, ..API };

/// Waits for its body, and for its turn to hash. Where it succeeds, its cookies are those of a new session.
const PASSWORD: Policy = Policy { delivers_refreshed_tokens: false, ..API };

/// Bytes that a user brought: shown in a sandbox, should a browser be led to them. Audio and video say themselves
/// what they may do besides.
const MEDIA: Policy = Policy { content_security: "sandbox", ..API };

/// The page about the server.
const PAGE: Policy = Policy {
    content_security: "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    cache: "no-cache",
    ..API
};

/// Swagger UI carries its scripts and styles in the page, and talks to nobody but this server.
const DOCS: Policy = Policy {
    content_security: "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                       img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; \
                       frame-ancestors 'none'",
    cache: "no-cache",
    ..API
};

/// By the beginning of the path; the first that fits.
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
    pub fn of(path: &str) -> Self {
        if path == "/" {
            return PAGE;
        }
        let found = BY_PATH.iter().find(|(beginning, _)| path.starts_with(beginning));
        found.map_or(API, |(_, policy)| *policy)
    }

    /// How many bytes a body may have.
    pub fn body_bytes_max(&self, upload_bytes_max: u64) -> u64 {
        match self.body {
            BodyLimit::Small => crate::config::BODY_BYTES_MAX as u64,
            BodyLimit::Upload => upload_bytes_max,
        }
    }
}
