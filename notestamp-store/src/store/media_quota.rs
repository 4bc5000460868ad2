//! The part of the quota that is enforced while media arrives.

use crate::domain::{User, UserId};
use crate::error::{Error, Result};

use super::Store;
use super::uploads::UploadPlace;

/// How much media an account may still upload.
///
/// It refuses only what the commit would certainly refuse, which decides exactly. History and trash give way to a save,
/// so only what the projects use is not left. Media that the account has already adds nothing to its usage, and is never
/// larger than all that it uses. So an upload may bring as many bytes as the account uses, whatever is left of the quota.
/// And if there is a history, an upload may replace the media of a project, which then gives way too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MediaQuota {
    bytes_max: u64,
    bytes_used: u64,
    bytes_left: u64,
}

impl MediaQuota {
    /// Reads how much an account uses; `None` means unlimited.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`]; if the records do not respond.
    pub(super) async fn of(store: &Store, account: UserId) -> Result<Option<Self>> {
        let Some(bytes_max) = store.settings().quota_bytes_max else { return Ok(None) };
        let user: Option<User> = store.shared.records.find_user(account).await?;
        let usage = user.ok_or(Error::NoSuchAccount)?.usage;
        let stays = match store.settings().history {
            Some(_) => usage.record_bytes,
            None => usage.current(),
        };
        let (bytes_used, bytes_left) = (usage.bytes + usage.kept_bytes, bytes_max.saturating_sub(stays));
        Ok(Some(Self { bytes_max, bytes_used, bytes_left }))
    }

    /// Checks the bytes that an upload and the others in progress of its account have brought so far.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`].
    pub(super) fn check(&self, upload: &UploadPlace) -> Result<()> {
        if upload.bytes_of_account() > self.bytes_left && upload.bytes() > self.bytes_used {
            return Err(Error::QuotaExceeded { max: self.bytes_max });
        }
        Ok(())
    }
}
