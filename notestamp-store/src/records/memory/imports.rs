use async_trait::async_trait;

use super::MemoryRecords;
use crate::error::Result;
use crate::records::ImportLog;

#[async_trait]
impl ImportLog for MemoryRecords {
    async fn find_import(&self, key: &str) -> Result<Option<String>> {
        Ok(self.lock()?.imports.get(key).cloned())
    }

    async fn record_import(&self, key: &str, value: &str) -> Result<()> {
        self.lock()?.imports.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}
