use async_trait::async_trait;
use rusqlite::OptionalExtension;

use super::SqliteRecords;
use crate::error::Result;
use crate::records::ImportLog;

#[async_trait]
impl ImportLog for SqliteRecords {
    async fn find_import(&self, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.read(move |connection| {
            let mut find = connection.prepare_cached("SELECT value FROM imports WHERE key = ?1")?;
            Ok(find.query_row([&key], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn record_import(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(move |connection| {
            let record = "INSERT OR REPLACE INTO imports (key, value) VALUES (?1, ?2)";
            connection.prepare_cached(record)?.execute([&key, &value])?;
            Ok(())
        })
        .await
    }
}
