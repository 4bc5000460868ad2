use mongodb::bson::{DateTime, Uuid};
use serde::Deserialize;

use crate::domain::{ProjectId, Revision, UserId, VersionTimes};
use crate::records::ReplacedAt;
use crate::records::mongodb::bson::timestamp;
use crate::records::mongodb::error::{Failure, Result};

/// Of a version only its times.
#[derive(Deserialize)]
pub(in crate::records::mongodb) struct TimesDocument {
    revision: u64,
    saved: DateTime,
    replaced: DateTime,
}

impl TryFrom<TimesDocument> for VersionTimes {
    type Error = Failure;

    fn try_from(document: TimesDocument) -> Result<Self> {
        Ok(Self {
            revision: Revision::new(document.revision),
            saved: timestamp(document.saved),
            replaced: timestamp(document.replaced),
        })
    }
}

/// Of a version only its place in the order in which versions were replaced.
#[derive(Deserialize)]
pub(in crate::records::mongodb) struct PlaceDocument {
    replaced: DateTime,
    project: Uuid,
    revision: u64,
    owner: Uuid,
}

impl TryFrom<PlaceDocument> for ReplacedAt {
    type Error = Failure;

    fn try_from(document: PlaceDocument) -> Result<Self> {
        Ok(Self {
            replaced: timestamp(document.replaced),
            project: ProjectId::from_bytes(document.project.bytes()),
            revision: Revision::new(document.revision),
            owner: UserId::from_bytes(document.owner.bytes()),
        })
    }
}
