//! The method that the client asked with: poem's router turns `HEAD` into `GET` on its way.

use poem::Request;
use poem::http::Method;

#[derive(Clone)]
struct AskedMethod(Method);

/// Remembers the method, before the request is routed.
pub fn remember(request: &mut Request) {
    let asked = AskedMethod(request.method().clone());
    request.extensions_mut().insert(asked);
}

/// The method that was remembered.
pub fn of(request: &Request) -> &Method {
    let asked = request.extensions().get::<AskedMethod>();
    &asked.expect("the method of every request is remembered").0
}
