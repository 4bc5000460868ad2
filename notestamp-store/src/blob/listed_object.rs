use super::path;
use crate::domain::{Namespace, ObjectId};

/// One entry in the listing of a blob store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ListedObject {
    /// A whole object.
    Object {
        /// The namespace, from the first segment of its path.
        namespace: Namespace,
        /// The id, from the second segment of its path.
        object: ObjectId,
        /// The size in bytes.
        size: u64,
    },
    /// The path of any other entry: a partial file, or a foreign file.
    ///
    /// The path of a foreign folder ends in `/`; its content is not listed.
    Unknown(String),
}

impl ListedObject {
    /// The object that the entry is, or is a part of.
    pub(crate) fn object(&self) -> Option<(Namespace, ObjectId)> {
        match self {
            Self::Object { namespace, object, .. } => Some((*namespace, *object)),
            Self::Unknown(entry) => path::parse_partial(entry),
        }
    }

    /// The path of the entry.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Object { namespace, object, .. } => path::of(*namespace, *object).to_string(),
            Self::Unknown(entry) => entry.clone(),
        }
    }
}
