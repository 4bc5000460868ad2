//! Maps the errors of blob backends to [`Error`].

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::panic;

use tokio::task::JoinError;

use crate::disk::{self, Class};
use crate::error::Error;

/// Maps an error of `object_store`.
///
/// `object_store` has already done the retries, so a generic error of a remote store nearly always means that it cannot
/// be reached or is overloaded. A generic error of a local disk is a failure.
pub(super) fn from_object_store(backend: &'static str, remote: bool, error: object_store::Error) -> Error {
    use object_store::Error as E;

    let class = match (disk::class_of_chain(&error), &error) {
        (Some(class @ (Class::Full | Class::FileTooLarge)), _) => class,
        (_, E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::JoinError { .. }) => {
            Class::Unavailable
        }
        (_, E::Generic { .. }) if remote => Class::Unavailable,
        (class, _) => class.unwrap_or(Class::Failed),
    };
    of_class(class, backend, || said(&error).into())
}

fn of_class(
    class: Class,
    backend: &'static str,
    source: impl FnOnce() -> Box<dyn StdError + Send + Sync>,
) -> Error {
    match class {
        Class::Full => Error::Full { backend },
        Class::FileTooLarge => Error::FileTooLarge { backend },
        Class::Unavailable => Error::Unavailable { backend, source: source() },
        Class::Failed => Error::Backend { backend, source: source() },
    }
}

/// The messages of an error and of its sources, without repetition. Most of these errors repeat the message of their
/// source, but the error of an HTTP client says "error sending request", and only its sources say why.
fn said(error: &object_store::Error) -> String {
    let mut text = without_body(&error.to_string());
    let mut source = error.source();
    while let Some(error) = source {
        let more = without_body(&error.to_string());
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// A message without the XML document of the server's response, except the document's code and message: the rest may
/// contain a key, a token or signed data.
fn without_body(said: &str) -> String {
    let Some((before, document)) = said.split_once('<') else { return said.to_owned() };
    let text_of = |tag: &str| {
        let (_, rest) = document.split_once(&format!("<{tag}>"))?;
        rest.split_once('<').map(|(text, _)| text)
    };
    let texts: Vec<&str> = ["Code", "Message"].into_iter().filter_map(text_of).collect();
    format!("{before}{}", texts.join(": "))
}

/// Maps an error of the file system.
pub(super) fn from_io(backend: &'static str, error: io::Error) -> Error {
    of_class(disk::class_of(&error), backend, || error.into())
}

/// Maps the error of a task that did not complete: resumes its panic; otherwise the runtime is shutting down.
pub(super) fn from_join(backend: &'static str, error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => panic::resume_unwind(panic),
        Err(cancelled) => Error::Unavailable { backend, source: cancelled.into() },
    }
}

/// Whether the backend is unavailable: it could not be reached, or has not responded in time.
pub(super) fn is_unavailable(error: &object_store::Error) -> bool {
    disk::class_of_chain(error) == Some(Class::Unavailable)
}

/// Whether the request has timed out: then it is useless to ask the backend for the outcome.
pub(super) fn has_timed_out(error: &object_store::Error) -> bool {
    disk::is(error, ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: io::Error) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: Box::new(source) }
    }

    #[test]
    fn a_full_disk_is_recognized_at_any_depth_of_the_error() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            let deep = generic(io::Error::other(generic(kind.into())));
            assert!(matches!(from_object_store("media store", false, deep), Error::Full { .. }), "{kind}");
            assert!(matches!(from_io("media store", kind.into()), Error::Full { .. }), "{kind}");
        }
    }

    #[test]
    fn temporary_errors_are_unavailable() {
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::TimedOut, ErrorKind::PermissionDenied] {
            let error = from_object_store("media store", false, generic(kind.into()));
            assert!(matches!(error, Error::Unavailable { .. }), "{kind}");
        }
        let error = from_object_store("media store", true, generic(io::Error::other("503")));
        assert!(matches!(error, Error::Unavailable { .. }));
    }

    #[test]
    fn of_a_response_only_code_and_message_are_repeated() {
        let response = "403 Forbidden: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>The \
                      signature is wrong.</Message><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(without_body(response), "403 Forbidden: SignatureDoesNotMatch: The signature is wrong.");
        assert_eq!(without_body("502 Bad Gateway: <html>AKIA</html>"), "502 Bad Gateway: ");
        assert_eq!(without_body("no response within 4 s"), "no response within 4 s");
    }

    #[test]
    fn an_unknown_error_of_a_local_disk_is_a_failure() {
        let error = from_object_store("media store", false, generic(io::Error::other("odd")));
        assert!(matches!(error, Error::Backend { .. }));
    }
}
