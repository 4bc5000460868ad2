//! The method of a request before routing.

use poem::Request;
use poem::http::Method;

/// The method that the client sent: the router changes `HEAD` to `GET` if an operation has only `GET`.
#[derive(Clone, Debug)]
pub(crate) struct OriginalMethod(Method);

impl OriginalMethod {
    /// Keeps the method of a request before it is routed.
    pub(crate) fn keep(request: &mut Request) {
        let method = Self(request.method().clone());
        request.extensions_mut().insert(method);
    }

    /// The method that the client sent.
    pub(crate) fn of(request: &Request) -> &Method {
        let kept = request.extensions().get::<Self>();
        &kept.expect("the middleware stores the method of every request").0
    }
}
