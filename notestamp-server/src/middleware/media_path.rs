//! The paths of media by id, which may have a file name after them.

use poem::Request;
use poem::http::Uri;

/// The path of media by id without what follows a further slash: that is a file name for people. `None` if nothing
/// follows.
pub(crate) fn without_file_name(uri: &Uri) -> Option<&str> {
    const MEDIA: &str = "/home/media/";
    let rest = uri.path().strip_prefix(MEDIA)?;
    Some(&uri.path()[..MEDIA.len() + rest.find('/')?])
}

/// Removes the file name, so that the router finds the operation.
pub(crate) fn remove_file_name(request: &mut Request) {
    let uri = request.uri();
    let Some(path) = without_file_name(uri) else { return };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(trimmed) = format!("{path}{query}").parse() {
        *request.uri_mut() = trimmed;
    }
}
