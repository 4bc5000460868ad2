use async_trait::async_trait;
use mongodb::bson::doc;

use super::MongoDbRecords;
use crate::error::Result;
use crate::records::ImportLog;

#[async_trait]
impl ImportLog for MongoDbRecords {
    async fn find_import(&self, key: &str) -> Result<Option<String>> {
        self.bounded(async {
            let found = self.collections.imports.find_one(doc! { "_id": key }).await?;
            Ok(found.and_then(|found| found.get_str("value").ok().map(str::to_owned)))
        })
        .await
    }

    async fn record_import(&self, key: &str, value: &str) -> Result<()> {
        self.bounded(async {
            let value = doc! { "_id": key, "value": value };
            self.collections.imports.replace_one(doc! { "_id": key }, value).upsert(true).await?;
            Ok(())
        })
        .await
    }
}
