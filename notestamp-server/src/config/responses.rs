//! The choices about responses, where clients and deployments differ.

use clap::ValueEnum;

/// The choices that change what goes over the wire.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Responses {
    /// How players get media: `proxy` through the server, `redirect` by a presigned URL of the bucket
    #[arg(long, value_name = "MODE", default_value = "proxy", hide_possible_values = true)]
    pub media_delivery: MediaDelivery,

    /// Elements of /project/list: `objects`, or `titles` for clients of late 2024
    #[arg(long, value_name = "FORM", default_value = "objects", hide_possible_values = true)]
    pub project_list: ProjectListEntries,
}

/// How media gets to the browser.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaDelivery {
    /// Through the server.
    Proxy,
    /// Straight from the blob store by a presigned URL, if the store can make one.
    Redirect,
}

/// What `projects` of `GET /project/list` is an array of.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProjectListEntries {
    /// Metadata.
    Objects,
    /// Titles.
    Titles,
}
