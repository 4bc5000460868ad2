//! HTTP's own syntax: headers, bodies and origins, parsed and formatted. Nothing here knows of projects or accounts.

pub(crate) mod accept_encoding;
pub(crate) mod byte_range;
pub(crate) mod content_disposition;
pub(crate) mod content_type;
pub(crate) mod entity_tag;
pub(crate) mod fetch_metadata;
pub(crate) mod forwarded;
pub(crate) mod multipart;
pub(crate) mod origin;
mod part_head;
pub(crate) mod single_header;
pub(crate) mod urlencoded;
