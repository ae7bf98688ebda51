//! The demo pages, as files of one folder. They run no script but their own, and show in no frame of another site.

use std::path::Path;

use axum::{Router, http::HeaderValue};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: https:; style-src 'self' 'unsafe-inline'; \
         object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "SAMEORIGIN"),
    // A page's address may hold a token until the page has taken it.
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
];

/// Serves the files of `folder`; without one, nothing but 404.
pub fn router(folder: Option<&Path>) -> Router {
    let Some(folder) = folder else { return Router::new() };
    let router = Router::new().fallback_service(ServeDir::new(folder));
    HEADERS.iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::if_not_present(name.clone(), HeaderValue::from_static(value)))
    })
}
