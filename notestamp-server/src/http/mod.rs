//! HTTP's own syntax: headers, bodies and URLs, parsed and formatted.

pub mod base_url;
pub mod byte_range;
pub mod content_disposition;
pub mod content_type;
pub mod entity_tag;
pub mod fetch_metadata;
pub mod multipart;
mod part_head;
pub mod single_header;
pub mod urlencoded;
