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
