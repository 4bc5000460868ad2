//! HTTP's own syntax: headers, bodies and origins, parsed and formatted. Nothing here knows of projects or accounts.

pub mod byte_range;
pub mod content_disposition;
pub mod content_type;
pub mod entity_tag;
pub mod fetch_metadata;
pub mod forwarded;
pub mod multipart;
pub mod origin;
mod part_head;
pub mod single_header;
pub mod urlencoded;
