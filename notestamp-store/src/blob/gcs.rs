//! A bucket of Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

use super::backend::Backend;
use super::bucket::{self, Bucket};

/// The backend in this bucket, with credentials from the `GOOGLE_…` variables.
pub(super) fn open(bucket: &Bucket) -> object_store::Result<Backend> {
    let mut builder =
        GoogleCloudStorageBuilder::from_env().with_bucket_name(&bucket.name).with_retry(bucket::retries());
    for (key, value) in bucket::client_settings() {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    let gcs = Arc::new(builder.build()?);
    Ok(bucket.backend(Arc::clone(&gcs), Some(gcs)))
}
