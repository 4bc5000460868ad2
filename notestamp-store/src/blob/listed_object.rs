use crate::domain::{Namespace, ObjectId};

/// One entry in the listing of a blob store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ListedObject {
    /// A whole object.
    Object {
        /// The namespace of the object.
        namespace: Namespace,
        /// The id of the object.
        object: ObjectId,
        /// The size in bytes.
        size: u64,
    },
    /// The path of any other entry: a partial file, or a foreign file.
    ///
    /// The path of a foreign folder ends in `/`; its content is not listed.
    Unknown(String),
}
