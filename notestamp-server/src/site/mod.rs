//! Serves a built web app beside the API: one process and one origin for both.

mod hashed_name;

use std::io::{self, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use poem::error::NotFoundError;
use poem::http::header::{
    ACCEPT, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LOCATION, REFERRER_POLICY, VARY,
};
use poem::http::{Method, StatusCode};
use poem::{Body, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::ReaderStream;

use self::hashed_name::is_hashed;
use crate::api::conditional::is_not_modified;
use crate::config::SiteSettings;
use crate::error::{ApiError, Code};
use crate::http::accept_encoding::accepts;
use crate::http::byte_range::Selection;
use crate::http::entity_tag::EntityTag;

/// The page of the app.
const INDEX: &str = "index.html";

/// The codings of precompressed files, the smallest first: how a client calls them, and how a file's name ends.
const CODINGS: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

/// A file whose name contains a hash of its content never changes.
const UNCHANGING: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A browser asks each time whether another file has changed.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// How many bytes of a file are read at once.
const CHUNK: usize = 64 * 1024;

/// A folder with a built web app.
#[derive(Debug)]
pub(crate) struct Site {
    /// Absolute and without symbolic links.
    root: PathBuf,
    content_security_policy: HeaderValue,
}

/// What a path of the site leads to.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    File(PathBuf),
    /// A folder with a page, whose path must end with a slash: its relative links would lead elsewhere.
    Folder,
}

impl Site {
    /// Opens the folder that the settings name, if they name one.
    ///
    /// # Errors
    /// If the folder has no readable `index.html`.
    pub(crate) fn open(settings: &SiteSettings) -> io::Result<Option<Arc<Self>>> {
        let Some(folder) = &settings.folder else { return Ok(None) };
        let root = folder.canonicalize()?;
        std::fs::File::open(root.join(INDEX))?;
        Ok(Some(Arc::new(Self { root, content_security_policy: settings.content_security_policy.clone() })))
    }

    /// Responds with the file at the request's path, or with the page of the app if it is one of the app's own paths.
    ///
    /// # Errors
    /// 404 if it is neither; 400, 412 and 416 for the preconditions and the range.
    pub(crate) async fn respond(self: Arc<Self>, request: Request) -> poem::Result<Response> {
        // Files are opened and examined by calls that block.
        let response = tokio::task::spawn_blocking(move || self.file_or_page(&request)).await;
        response.map_err(|error| ApiError::new(Code::Internal, "internal error").caused_by(error))?
    }

    fn file_or_page(&self, request: &Request) -> poem::Result<Response> {
        let path = request.uri().path();
        match self.find(path) {
            Some(Found::File(file)) => self.send(&file, request),
            Some(Found::Folder) => {
                let name = path.rsplit('/').next().unwrap_or_default();
                let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
                let response = Response::builder().status(StatusCode::PERMANENT_REDIRECT);
                Ok(response.header(LOCATION, format!("./{name}/{query}")).finish())
            }
            None if is_of_the_app(path, request.headers()) => self.send(&self.root.join(INDEX), request),
            None => Err(NotFoundError.into()),
        }
    }

    /// Finds the file of a path. Hidden files and files outside of the folder do not exist.
    fn find(&self, path: &str) -> Option<Found> {
        let mut file = self.root.clone();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            let segment = percent_decode_str(segment).decode_utf8().ok()?;
            let mut parts = Path::new(&*segment).components();
            let is_one_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == &*segment);
            let is_hidden = segment.starts_with('.') && segment != ".well-known";
            if !is_one_name || is_hidden || segment.contains('\0') {
                return None;
            }
            file.push(&*segment);
        }
        let mut file = file.canonicalize().ok().filter(|file| file.starts_with(&self.root))?;
        if file.is_dir() {
            file.push(INDEX);
            if file.is_file() && !path.ends_with('/') {
                return Some(Found::Folder);
            }
        } else if path.ends_with('/') {
            return None;
        }
        file.is_file().then_some(Found::File(file))
    }

    /// Responds with a file, precompressed if there is such a file and the client accepts it.
    fn send(&self, file: &Path, request: &Request) -> poem::Result<Response> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let compressed = CODINGS.iter().find_map(|(coding, ending)| {
            let compressed = file.with_file_name(format!("{name}{ending}"));
            (accepts(request.headers(), coding) && compressed.is_file()).then_some((*coding, compressed))
        });
        let (coding, sent) = compressed.map_or(("", file.to_owned()), |(coding, file)| (coding, file));
        let (bytes, size, tag) = open(&sent, coding).map_err(unreadable)?;

        // These headers are on a 304 too.
        let response = Response::builder()
            .header(ETAG, tag.to_header())
            .header(VARY, HeaderValue::from_static("Accept-Encoding"))
            .header(CACHE_CONTROL, if is_hashed(&name) { UNCHANGING } else { REVALIDATED })
            .header(CONTENT_SECURITY_POLICY, self.content_security_policy.clone())
            // Some players of other sites demand to know the origin that embeds them.
            .header(REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
        if is_not_modified(request.headers(), &tag)? {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let selection = Selection::of(request.method(), request.headers(), size, &tag);
        let range = match &selection {
            Selection::Whole => 0..size,
            Selection::Part(range) => range.clone(),
            Selection::Unsatisfiable => {
                let error =
                    ApiError::new(Code::RangeNotSatisfiable, "the range is beyond the end of the file");
                return Err(error.with_header(CONTENT_RANGE, &format!("bytes */{size}")).into());
            }
        };
        let mut response = response
            .header(CONTENT_TYPE, content_type(file))
            .header(CONTENT_LENGTH, range.end - range.start)
            .header(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if !coding.is_empty() {
            response = response.header(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        if let Some(content_range) = selection.content_range(size) {
            response = response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, content_range);
        }
        if request.method() == Method::HEAD {
            return Ok(response.finish());
        }
        let bytes = read(bytes, range).map_err(unreadable)?;
        Ok(response.body(Body::from_bytes_stream(bytes)))
    }
}

/// Opens a file: its size, and an entity tag that changes with the file and differs between codings.
fn open(file: &Path, coding: &str) -> io::Result<(std::fs::File, u64, EntityTag)> {
    let file = std::fs::File::open(file)?;
    let metadata = file.metadata()?;
    let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let tag = format_args!("{:x}-{:x}{coding}", modified.as_nanos(), metadata.len()).to_string();
    Ok((file, metadata.len(), EntityTag::strong(tag)))
}

fn read(mut file: std::fs::File, range: Range<u64>) -> io::Result<ReaderStream<impl AsyncRead>> {
    file.seek(SeekFrom::Start(range.start))?;
    let bytes = tokio::fs::File::from_std(file).take(range.end - range.start);
    Ok(ReaderStream::with_capacity(bytes, CHUNK))
}

fn unreadable(error: io::Error) -> ApiError {
    ApiError::new(Code::Internal, "internal error").caused_by(error)
}

/// Whether a method reads a page or a file.
pub(crate) fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a path without a file is one of the app's own, which its scripts interpret: a page that a browser navigates
/// to, or a path like one that a program asks for. A missing script or image is not.
fn is_of_the_app(path: &str, headers: &HeaderMap) -> bool {
    let accepted: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accepts = |media_type: &str| accepted.iter().any(|value| value.contains(media_type));
    let last = path.rsplit('/').next().unwrap_or_default();
    accepts("text/html") || (accepted.is_empty() || accepts("*/*")) && !last.contains('.')
}

fn content_type(file: &Path) -> String {
    let guess = mime_guess::from_path(file).first_or_octet_stream();
    match guess.type_() == mime_guess::mime::TEXT {
        true => format!("{}; charset=utf-8", guess.essence_str()),
        false => guess.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use poem::http::header::HeaderName;

    use super::*;

    fn site() -> (tempfile::TempDir, Arc<Site>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("site");
        fs::create_dir_all(root.join("guide/empty")).unwrap();
        fs::create_dir_all(root.join(".well-known")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        for file in
            ["index.html", "a b.js", "guide/index.html", ".well-known/x", ".env", ".git/config", "../secret"]
        {
            fs::write(root.join(file), file).unwrap();
        }
        let settings = SiteSettings {
            folder: Some(root),
            content_security_policy: HeaderValue::from_static("default-src 'self'"),
        };
        (folder, Site::open(&settings).unwrap().unwrap())
    }

    #[test]
    fn a_path_leads_to_a_file_of_the_folder_and_to_no_other() {
        let (_folder, site) = site();
        let file = |name: &str| Some(Found::File(site.root.join(name)));
        for (path, found) in [
            ("/", file("index.html")),
            ("/index.html", file("index.html")),
            ("/a%20b.js", file("a b.js")),
            ("//a%20b.js", file("a b.js")),
            ("/guide/", file("guide/index.html")),
            ("/guide", Some(Found::Folder)),
            ("/.well-known/x", file(".well-known/x")),
            ("/guide/empty", None),
            ("/index.html/", None),
            ("/missing", None),
            ("/.env", None),
            ("/.git/config", None),
            ("/../secret", None),
            ("/%2e%2e/secret", None),
            ("/..%2fsecret", None),
            ("/guide/..%5c..%5csecret", None),
            ("/guide%2findex.html", None),
            ("/index.html%00", None),
            ("/%ff", None),
        ] {
            assert_eq!(site.find(path), found, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_leads_to_no_file_outside_of_the_folder() {
        let (_folder, site) = site();
        std::os::unix::fs::symlink("../secret", site.root.join("outside")).unwrap();
        std::os::unix::fs::symlink("index.html", site.root.join("inside")).unwrap();
        assert_eq!(site.find("/outside"), None);
        assert_eq!(site.find("/inside"), Some(Found::File(site.root.join("index.html"))));
    }

    #[test]
    fn paths_that_a_browser_navigates_to_are_the_apps() {
        let html = "text/html,application/xhtml+xml,*/*;q=0.8";
        for (path, accept, expected) in [
            ("/notes/my.song", Some(html), true),
            ("/notes/song", Some("*/*"), true),
            ("/notes/song", None, true),
            ("/assets/gone.js", Some("*/*"), false),
            ("/assets/gone.js", None, false),
            ("/notes/song", Some("application/json"), false),
            ("/favicon", Some("image/*"), false),
        ] {
            let headers = accept.map(|accept| (ACCEPT as HeaderName, accept.parse().unwrap()));
            let headers = HeaderMap::from_iter(headers);
            assert_eq!(is_of_the_app(path, &headers), expected, "{path} {accept:?}");
        }
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |folder: PathBuf| SiteSettings {
            folder: Some(folder),
            content_security_policy: HeaderValue::from_static("default-src 'self'"),
        };
        assert!(Site::open(&settings(folder.path().to_owned())).is_err());
        assert!(Site::open(&settings(folder.path().join("absent"))).is_err());
    }
}
