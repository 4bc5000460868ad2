//! How the records of an account use media of one digest.

use rusqlite::{Connection, named_params};

use super::error::Result;
use crate::domain::{Digest, ProjectId, UserId};
use crate::protocol::MediaUse;

const MEDIA_USE: &str = "
    SELECT
        EXISTS (SELECT 1 FROM projects INDEXED BY projects_by_media_digest
            WHERE owner = :owner AND media_digest = :digest AND id <> :except),
        EXISTS (SELECT 1 FROM versions INDEXED BY versions_by_media_digest
            WHERE owner = :owner AND media_digest = :digest)
        OR EXISTS (SELECT 1 FROM trash INDEXED BY trash_by_media_digest
            WHERE owner = :owner AND media_digest = :digest)";

/// How the records of an account use media with this digest, apart from the project `except`.
pub(super) fn media_use(
    connection: &Connection,
    owner: UserId,
    digest: Digest,
    except: Option<ProjectId>,
) -> Result<MediaUse> {
    let except: &[u8] = except.as_ref().map_or(&[], |id| id.as_bytes());
    let params = named_params! {
        ":owner": owner.as_bytes(), ":digest": digest.as_bytes(), ":except": except
    };
    let found = connection
        .prepare_cached(MEDIA_USE)?
        .query_one(params, |row| Ok(MediaUse { shown: row.get(0)?, kept: row.get(1)? }));
    Ok(found?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn the_use_of_media_is_looked_up_in_indexes() {
        let plan = query_plan(&empty_database(), MEDIA_USE);
        for states in ["projects", "versions", "trash"] {
            let step = format!(
                "SEARCH {states} USING COVERING INDEX {states}_by_media_digest (owner=? AND media_digest=?)"
            );
            assert!(plan.contains(&step), "{plan:#?}");
        }
    }
}
