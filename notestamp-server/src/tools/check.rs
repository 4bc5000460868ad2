//! The check of the store.

use notestamp_store::{CheckEvent, CheckOptions, Finding};
use tokio::sync::mpsc;

use super::context::Context;
use super::event::{EVENTS_WAITING_MAX, Event, Events, FindingLine, Progress};
use super::failure::Failure;

pub(super) async fn run(context: &Context, events: &Events, options: CheckOptions) -> Result<Event, Failure> {
    let (sender, mut reported) = mpsc::channel(EVENTS_WAITING_MAX);
    let check = async move {
        let checked = context.store.check_with(options, &sender).await;
        drop(sender);
        checked
    };
    let pass_on = async {
        let (mut objects, mut findings, mut repaired, mut unreferenced) = (0, 0, 0, 0);
        while let Some(event) = reported.recv().await {
            let event = match event {
                CheckEvent::Unreferenced(_) => {
                    unreferenced += 1;
                    continue;
                }
                CheckEvent::Progress { done, total } => {
                    objects = done;
                    Event::Progress(Progress { done, total, unit: "objects".to_owned() })
                }
                CheckEvent::Finding(finding) => {
                    findings += 1;
                    repaired += u64::from(finding.is_repaired);
                    Event::Finding(line(finding))
                }
            };
            // If the receiver of the events is gone, `task::run` cancels the check.
            let _ = events.send(event).await;
        }
        Event::summary([
            ("objects", objects.into()),
            ("findings", findings.into()),
            ("repaired", repaired.into()),
            ("unreferenced", unreferenced.into()),
        ])
    };
    let (checked, summary) = futures_util::join!(check, pass_on);
    checked?;
    Ok(summary)
}

fn line(finding: Finding) -> FindingLine {
    let Finding { name, kind, object, owner, title, detail, is_repaired } = finding;
    FindingLine {
        finding: name.as_str().to_owned(),
        kind: kind.to_owned(),
        object,
        owner,
        title,
        detail,
        repaired: is_repaired,
    }
}
