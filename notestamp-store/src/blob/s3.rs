//! A bucket of S3, or of a service with the same protocol.

use std::fmt;
use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use url::Url;

use super::backend::Backend;
use super::bucket::{self, Bucket};

/// A bucket with the settings of its URL; `None` if the URL does not set a value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct S3Bucket {
    bucket: Bucket,
    endpoint: Option<Url>,
    path_style: Option<bool>,
}

impl S3Bucket {
    /// Parses `s3://bucket/prefix?endpoint=URL&path_style=BOOL`. The error says why it is invalid, without repeating
    /// it.
    pub(super) fn parse(url: &Url) -> Result<Self, &'static str> {
        let (mut endpoint, mut path_style) = (None, None);
        for (name, value) in url.query_pairs() {
            let is_new = match &*name {
                "endpoint" => endpoint.replace(parse_endpoint(&value)?).is_none(),
                "path_style" => {
                    let value =
                        parse_bool(&value).ok_or("has a path_style that is neither true nor false")?;
                    path_style.replace(value).is_none()
                }
                _ => return Err("has a query with something else than endpoint and path_style in it"),
            };
            if !is_new {
                return Err("says something twice in its query");
            }
        }
        Ok(Self { bucket: Bucket::parse(url)?, endpoint, path_style })
    }

    /// The backend in this bucket; credentials and settings that the URL does not set come from the `AWS_…` variables.
    pub(super) fn open(&self) -> object_store::Result<Backend> {
        let s3 = Arc::new(self.client(AmazonS3Builder::from_env())?);
        Ok(self.bucket.backend(Arc::clone(&s3), Some(s3)))
    }

    /// The bucket for a reader; credentials and settings that the URL does not set come from these variables.
    #[cfg(feature = "mongodb")]
    pub(super) fn open_with(
        &self,
        variables: &[(String, String)],
    ) -> object_store::Result<Arc<dyn object_store::ObjectStore>> {
        let mut builder = AmazonS3Builder::new();
        for (name, value) in variables {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        Ok(self.bucket.backend(Arc::new(self.client(builder)?), None).objects)
    }

    fn client(&self, environment: AmazonS3Builder) -> object_store::Result<AmazonS3> {
        let mut builder = environment
            .with_bucket_name(&self.bucket.name)
            .with_retry(bucket::retries())
            // Objects are deleted one by one: not every service supports bulk deletion.
            .with_disable_bulk_delete(true);
        for (key, value) in bucket::client_settings() {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        if let Some(path_style) = self.path_style {
            builder = builder.with_virtual_hosted_style_request(!path_style);
        }
        if let Some(mut endpoint) = self.endpoint(&builder)? {
            let virtual_hosted = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest);
            if virtual_hosted.is_some_and(|virtual_hosted| parse_bool(&virtual_hosted) == Some(true)) {
                endpoint = self.virtual_host(endpoint);
            }
            // An endpoint with `http://` was configured on purpose.
            builder = builder.with_allow_http(endpoint.scheme() == "http");
            builder =
                builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.as_str().trim_end_matches('/'));
        }
        builder.build()
    }

    /// The endpoint from the bucket's URL, or else from the environment; `None` means Amazon's.
    fn endpoint(&self, environment: &AmazonS3Builder) -> object_store::Result<Option<Url>> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(Some(endpoint.clone()));
        }
        let of_s3 = environment.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
        match of_s3.or_else(|| environment.get_config_value(&AmazonS3ConfigKey::Endpoint)) {
            Some(text) if !text.is_empty() => parse_endpoint(&text).map(Some).map_err(|why| {
                let source = format!("the endpoint of the AWS_ENDPOINT_URL variables {why}").into();
                object_store::Error::Generic { store: "S3", source }
            }),
            _ => Ok(None),
        }
    }

    /// The endpoint with the bucket's name at the beginning of its host, unless it is there already.
    fn virtual_host(&self, mut endpoint: Url) -> Url {
        let host = endpoint.host_str().unwrap_or_default();
        let of_bucket = format!("{}.", self.bucket.name);
        if !host.starts_with(&of_bucket) {
            let host = of_bucket + host;
            // If the result is not a valid host, as with an IP address, the endpoint stays: requests fail, and the
            // error names the endpoint.
            let _ = endpoint.set_host(Some(&host));
        }
        endpoint
    }
}

impl fmt::Display for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        let mut separator = '?';
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{separator}endpoint={}", endpoint.as_str().trim_end_matches('/'))?;
            separator = '&';
        }
        match self.path_style {
            Some(path_style) => write!(f, "{separator}path_style={path_style}"),
            None => Ok(()),
        }
    }
}

fn parse_endpoint(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "has an endpoint that is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("has an endpoint that begins neither with http:// nor with https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has an endpoint with credentials in it, which come from variables");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has an endpoint with a query or a fragment");
    }
    Ok(url)
}

/// Parses the words that the environment variables accept.
fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
