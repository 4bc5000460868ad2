//! What HTTP itself asks for: headers, bodies and connections, and nothing of projects or accounts.

pub mod acceptor;
pub mod allowed_methods;
pub mod answer_time;
pub mod asked_method;
pub mod base_url;
pub mod body_guard;
pub mod byte_range;
pub mod client_address;
pub mod content_disposition;
pub mod entity_tag;
pub mod fetch_metadata;
pub mod multipart;
pub mod origin;
mod patience;
pub mod request_id;
mod single;
pub mod urlencoded;
