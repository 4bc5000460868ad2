//! Moves in from the original Node backend.

use notestamp_store::{BlobUrl, LegacyEvent, LegacyFinding, LegacySource};
use tokio::sync::mpsc;

use super::context::Context;
use super::event::{EVENTS_WAITING_MAX, Event, Events, FindingLine, Progress};
use super::failure::Failure;

/// Imports the accounts of a source. `variables` have the credentials of its bucket.
pub(super) async fn run(
    context: &Context,
    events: &Events,
    (mongodb, bucket): (&str, &str),
    variables: &[(String, String)],
) -> Result<Event, Failure> {
    let source = LegacySource::open(mongodb, &BlobUrl::parse(bucket)?, variables).await?;
    let (sender, mut reported) = mpsc::channel(EVENTS_WAITING_MAX);
    let import = async move {
        let imported = context.store.import_legacy(&source, &sender).await;
        drop(sender);
        imported
    };
    let pass_on = async {
        while let Some(event) = reported.recv().await {
            let event = match event {
                LegacyEvent::Progress { done, total } => {
                    Event::Progress(Progress { done, total, unit: "accounts".to_owned() })
                }
                LegacyEvent::Finding(finding) => Event::Finding(line(finding)),
            };
            // If the receiver of the events is gone, `task::run` cancels the import.
            let _ = events.send(event).await;
        }
    };
    let (imported, ()) = futures_util::join!(import, pass_on);
    let report = imported?;
    Ok(Event::summary([
        ("accounts", report.accounts.into()),
        ("projects", report.projects.into()),
        ("known", report.known.into()),
        ("leftOut", report.left_out.into()),
    ]))
}

fn line(finding: LegacyFinding) -> FindingLine {
    let LegacyFinding { name, account, title, key, detail, is_settled } = finding;
    let kind = match (&title, &key) {
        (Some(_), _) => "project",
        (None, Some(_)) => "object",
        (None, None) => "account",
    };
    FindingLine {
        finding: name.as_str().to_owned(),
        kind: kind.to_owned(),
        object: key,
        owner: account,
        title,
        detail,
        repaired: is_settled,
    }
}
