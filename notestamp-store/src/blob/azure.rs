//! A container of Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::backend::Backend;
use super::bucket::{self, Bucket};

/// The backend in this container, with account and credentials from the `AZURE_…` variables.
///
/// It cannot presign: `object_store`'s signer for Azure cannot set the headers of the response.
pub(super) fn open(container: &Bucket) -> object_store::Result<Backend> {
    let mut builder =
        MicrosoftAzureBuilder::from_env().with_container_name(&container.name).with_retry(bucket::retries());
    for (key, value) in bucket::client_settings() {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    Ok(container.backend(Arc::new(builder.build()?), None))
}
