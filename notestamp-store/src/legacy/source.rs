//! Reads the original's database and its bucket.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use object_store::path::Path;
use object_store::{GetResult, ObjectStore, ObjectStoreExt};

use super::document::LegacyUser;
use crate::blob::BlobUrl;
use crate::clock::Timestamp;
use crate::domain::InvalidValue;
use crate::error::{Error, Result};

/// The database that the original's driver uses if the URL names none.
const DATABASE_DEFAULT: &str = "test";

const DATABASE: &str = "the source's MongoDB";
const BUCKET: &str = "the source's bucket";

/// The original's database and its bucket. Nothing is ever written there.
#[derive(Clone)]
pub struct LegacySource {
    users: Collection<Document>,
    bucket: Arc<dyn ObjectStore>,
}

/// An object of the bucket.
pub(crate) struct SourceObject {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
    bytes: GetResult,
}

impl LegacySource {
    /// Connects to the original's MongoDB and opens its bucket. `variables` are names with values, such as
    /// `AWS_ACCESS_KEY_ID`, from which the credentials and the settings of the bucket come.
    ///
    /// # Errors
    /// If a URL is invalid, or the database does not respond.
    pub async fn open(mongodb: &str, bucket: &BlobUrl, variables: &[(String, String)]) -> Result<Self> {
        // The driver's own message may repeat a part of the URL, which may be a password.
        let options = ClientOptions::parse(mongodb).await;
        let options = options.map_err(|_| InvalidValue::new("MongoDB URL", "is not a connection string"))?;
        let name = options.default_database.clone().unwrap_or_else(|| DATABASE_DEFAULT.to_owned());
        let client = Client::with_options(options).map_err(unavailable)?;
        let bucket = bucket
            .open_source(variables)
            .map_err(|source| Error::Backend { backend: BUCKET, source: source.into() })?;
        let source = Self { users: client.database(&name).collection("users"), bucket };
        source.users.find_one(doc! {}).projection(doc! { "_id": 1 }).await.map_err(unavailable)?;
        Ok(source)
    }

    /// The ids of all users, in their order.
    pub(crate) async fn user_ids(&self) -> Result<Vec<Bson>> {
        let found = self.users.find(doc! {}).projection(doc! { "_id": 1 }).sort(doc! { "_id": 1 });
        let (mut found, mut ids) = (found.await.map_err(unavailable)?, Vec::new());
        while let Some(mut user) = found.try_next().await.map_err(unavailable)? {
            ids.extend(user.remove("_id"));
        }
        Ok(ids)
    }

    /// Reads the user record with this id; `None` if the record has been deleted since its id was read.
    pub(crate) async fn find_user(&self, id: &Bson) -> Result<Option<LegacyUser>> {
        let found = self.users.find_one(doc! { "_id": id }).await.map_err(unavailable)?;
        Ok(found.as_ref().map(LegacyUser::of))
    }

    /// Opens the object with this key; `None` if the bucket has no such object, or if the key is invalid as a path.
    pub(crate) async fn find(&self, key: &str) -> Result<Option<SourceObject>> {
        let Ok(path) = Path::parse(key) else { return Ok(None) };
        match self.bucket.get(&path).await {
            Ok(bytes) => {
                let modified = Timestamp::from_millis(bytes.meta.last_modified.timestamp_millis());
                let size = bytes.meta.size;
                Ok(Some(SourceObject { key: key.to_owned(), size, modified, bytes }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// The first object of these keys.
    pub(crate) async fn find_first(&self, keys: &[String]) -> Result<Option<SourceObject>> {
        for key in keys {
            if let found @ Some(_) = self.find(key).await? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The keys of all objects.
    pub(crate) fn keys(&self) -> BoxStream<'static, Result<String>> {
        self.bucket.list(None).map_ok(|object| object.location.to_string()).map_err(unreadable).boxed()
    }
}

impl SourceObject {
    /// All bytes, if they are not more than `max`.
    pub(crate) async fn read(self, max: u64) -> Result<Bytes> {
        if self.size > max {
            return Err(Error::TooLarge { what: "notes", max });
        }
        self.bytes.bytes().await.map_err(unreadable)
    }

    /// The bytes as they are read.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        self.bytes.into_stream().map_err(unreadable).boxed()
    }
}

fn unavailable(error: mongodb::error::Error) -> Error {
    Error::Unavailable { backend: DATABASE, source: error.into() }
}

fn unreadable(error: object_store::Error) -> Error {
    Error::Unavailable { backend: BUCKET, source: error.into() }
}

/// Shows no URL: it may contain a password.
impl fmt::Debug for LegacySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacySource").finish_non_exhaustive()
    }
}
