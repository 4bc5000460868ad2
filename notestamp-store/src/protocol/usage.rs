//! The usage of an account: media counts once, as shown if a project refers to it, else as kept.

use std::ops::BitOr;

use crate::domain::Usage;

/// Which records of an account refer to media of one digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MediaUse {
    /// A project does.
    pub shown: bool,
    /// A version, or a project in the trash, does.
    pub kept: bool,
}

impl MediaUse {
    /// A project refers to it.
    pub const SHOWN: Self = Self { shown: true, kept: false };
    /// A version, or a project in the trash, refers to it.
    pub const KEPT: Self = Self { shown: false, kept: true };

    /// The count of bytes in which media that is used like this is included.
    fn count(self, usage: &mut Usage) -> Option<&mut u64> {
        match self {
            Self { shown: true, .. } => Some(&mut usage.bytes),
            Self { kept: true, .. } => Some(&mut usage.kept_bytes),
            _ => None,
        }
    }
}

impl BitOr for MediaUse {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { shown: self.shown || other.shown, kept: self.kept || other.kept }
    }
}

/// Updates the usage after the use of media of this size has changed.
pub(super) fn change_media_use(usage: &mut Usage, size: u64, before: MediaUse, after: MediaUse) {
    if let Some(count) = before.count(usage) {
        *count = count.saturating_sub(size);
    }
    if let Some(count) = after.count(usage) {
        *count += size;
    }
}
