//! The paths of objects: the only file that knows the layout.
//!
//! A path is `{namespace}/{object id}`, in the media store and in the notes store alike. It is used for only one
//! object, ever, so a late write or delete can only affect the object that it was meant for.

use object_store::path::Path;

use crate::domain::{Namespace, ObjectId};

/// The path of the object that holds the store's id: no namespace has this name.
pub(super) const STORE_ID: &str = ".store-id";

/// The beginning of the paths of what a check has moved away, because no row of the ledger accounts for it.
pub(super) const QUARANTINE: &str = "quarantine/";

/// The path of an object.
pub(super) fn of(namespace: Namespace, object: ObjectId) -> Path {
    Path::from_iter([folder(namespace), object.to_string()])
}

/// The folder that holds all objects of a namespace, and nothing else.
pub(super) fn folder(namespace: Namespace) -> String {
    namespace.to_string()
}

/// Parses the path of an object; `None` if it is not such a path.
pub(super) fn parse(path: &str) -> Option<(Namespace, ObjectId)> {
    let (folder, name) = path.split_once('/')?;
    Some((parse_folder(folder)?, name.parse().ok()?))
}

/// Parses the path of a partial object, as `LocalFileSystem` names it while it writes the object.
pub(super) fn parse_partial(path: &str) -> Option<(Namespace, ObjectId)> {
    let (whole, number) = path.rsplit_once('#')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| parse(whole))?
}

/// Parses the folder name of a namespace; `None` if it is not such a name.
pub(super) fn parse_folder(name: &str) -> Option<Namespace> {
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    #[test]
    fn a_path_parses_to_the_ids_of_its_object() {
        let object = ObjectId::from_bytes([7; 16]);
        for namespace in [Namespace::Shared, Namespace::Owner(UserId::from_bytes([9; 16]))] {
            assert_eq!(parse(of(namespace, object).as_ref()), Some((namespace, object)));
        }
    }

    #[test]
    fn a_path_of_another_form_has_no_ids() {
        let id = "07070707070707070707070707070707";
        for foreign in [
            "",
            "shared",
            id,
            &format!("shared/{id}#1"),
            &format!("shared/{id}/x"),
            &format!("/{id}"),
            &format!("other/{id}"),
            &format!("shared/{}", id.replace('0', "A")),
        ] {
            assert_eq!(parse(foreign), None, "{foreign:?}");
        }
    }
}
