//! Properties of the domain's values, and an exhaustive test of all short histories of a session.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use notestamp_store::{
    AccessUse, Cursor, Digest, Email, Hasher, LastModified, MediaType, Metadata, MonotonicTime, Namespace,
    Notes, NotesRef, ObjectId, Project, ProjectId, Random, Refresh, Revision, RevocationReason, Session,
    SessionId, SessionTtl, Sort, Timestamp, Title, TokenId, UserId,
};
use proptest::prelude::*;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// Asserts that a value stays the same when it is formatted and parsed again.
#[track_caller]
fn assert_round_trips<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: T) {
    let printed = value.to_string();
    assert_eq!(printed.parse::<T>().expect("what is printed can be read"), value, "{printed}");
}

/// Characters for titles. Combining characters, characters that case folding changes, and forbidden characters come
/// more often than others.
fn texts() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => any::<char>(),
        2 => prop::char::range('a', 'z'),
        1 => prop::char::range('\u{0}', '\u{ff}'),
        1 => prop::char::range('\u{300}', '\u{345}'),
        1 => prop::char::range('\u{370}', '\u{3ff}'),
        1 => prop::char::range('\u{1f00}', '\u{1fff}'),
        1 => prop::sample::select(vec!['ß', 'ẞ', 'İ', 'ı', 'ς', 'ﬁ', '\u{1100}', '\u{1161}', '\u{11a8}', '\u{2126}']),
    ];
    let short = prop::collection::vec(character.clone(), 0..12);
    let long = prop::collection::vec(character, 200..300);
    prop_oneof![3 => short, 1 => long].prop_map(|characters| characters.into_iter().collect())
}

fn titles() -> impl Strategy<Value = Title> {
    texts().prop_filter_map("is no title", |text| Title::parse(&text).ok())
}

proptest! {
    #[test]
    fn a_title_follows_its_rules(text in texts()) {
        let composed: String = text.nfc().collect();
        let long_enough = (1..=Title::CHARS_MAX).contains(&composed.chars().count());
        let controls = composed.chars().any(|c| c.is_control() && c != '\t');
        let parsed = Title::parse(&text).map(|title| title.as_str().to_owned());
        prop_assert_eq!(parsed.ok(), (long_enough && !controls).then_some(composed));
    }

    #[test]
    fn normal_forms_of_a_title_are_the_same_title(title in titles()) {
        prop_assert_eq!(&Title::parse(title.as_str()).unwrap(), &title);
        let decomposed: String = title.as_str().nfd().collect();
        prop_assert_eq!(Title::parse(&decomposed).unwrap(), title);
    }

    #[test]
    fn a_folded_title_folds_to_itself(title in titles()) {
        let folded = title.folded();
        if let Ok(again) = Title::parse(&folded) {
            prop_assert_eq!(again.folded(), folded);
        }
    }

    #[test]
    fn parsing_an_address_is_idempotent(local in "\\PC{1,70}", domain in "[a-zA-Zß.İΣ\u{308}-]{1,70}") {
        let Ok(email) = Email::parse(&format!(" {local}@{domain}\t")) else { return Ok(()) };
        prop_assert_eq!(&Email::parse(email.as_str()).unwrap(), &email);
        prop_assert!(email.as_str().len() <= Email::BYTES_MAX);
        prop_assert_eq!(email.as_str().matches('@').count(), 1);
        let decomposed: String = email.as_str().nfd().collect();
        prop_assert_eq!(&Email::parse(&decomposed).unwrap(), &email);
    }

    #[test]
    fn ids_round_trip_and_print_in_their_order(one: [u8; 16], two: [u8; 16]) {
        assert_round_trips(UserId::from_bytes(one));
        assert_round_trips(SessionId::from_bytes(one));
        assert_round_trips(ProjectId::from_bytes(one));
        assert_round_trips(ObjectId::from_bytes(one));
        assert_round_trips(TokenId::from_bytes(one));
        assert_round_trips(Namespace::Owner(UserId::from_bytes(one)));
        let (one, two) = (ObjectId::from_bytes(one), ObjectId::from_bytes(two));
        prop_assert_eq!(one.cmp(&two), one.as_bytes().cmp(two.as_bytes()));
        prop_assert_eq!(one.cmp(&two), one.to_string().cmp(&two.to_string()));
    }

    #[test]
    fn an_id_has_only_one_spelling(bytes: [u8; 16]) {
        let printed = ObjectId::from_bytes(bytes).to_string();
        let upper = printed.to_uppercase();
        prop_assert_eq!(upper.parse::<ObjectId>().is_ok(), upper == printed);
        for other in [format!("{{{printed}}}"), format!("{printed} "), printed[1..].to_owned()] {
            prop_assert!(other.parse::<ObjectId>().is_err(), "{}", other);
        }
    }

    #[test]
    fn later_ids_are_greater(earlier in 0..(1_i64 << 48) - 1, after in 1..1_000_i64, first: u8, second: u8) {
        let later = (earlier + after).min((1 << 48) - 1);
        let id = |millis, byte| ObjectId::generate(Timestamp::from_millis(millis), &Constant(byte));
        prop_assert!(id(earlier, first) < id(later, second));
    }

    #[test]
    fn a_digest_round_trips(bytes: [u8; 32]) {
        let digest = Digest::from_bytes(bytes);
        assert_round_trips(digest);
        prop_assert_eq!(digest.to_string().to_uppercase().parse::<Digest>().unwrap(), digest);
        prop_assert_eq!(digest.as_bytes(), &bytes);
    }

    #[test]
    fn no_other_text_is_a_digest(text in "\\PC{0,66}|[0-9a-fA-F]{60,68}|[0-9a-g]{64}|[+-][0-9a-f]{63}") {
        let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        prop_assert_eq!(text.parse::<Digest>().is_ok(), is_digest);
    }

    #[test]
    fn a_digest_does_not_depend_on_the_chunks(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut hasher = Hasher::new();
        chunks.iter().for_each(|chunk| hasher.update(chunk));
        let whole = chunks.concat();
        prop_assert_eq!(hasher.finish(), (Digest::of(&whole), whole.len() as u64));
    }

    #[test]
    fn a_cursor_round_trips(title in titles(), millis: i64, id: [u8; 16], save: u64) {
        let at = LastModified::at(Timestamp::from_millis(millis));
        let project = Project {
            id: ProjectId::from_bytes(id),
            owner: UserId::from_bytes(id),
            metadata: Metadata { last_modified: at.clone(), ..Metadata::new(title, at.instant()) },
            media: None,
            notes: NotesRef { object: ObjectId::from_bytes(id), size: 0 },
            revision: Revision::FIRST,
            save,
            created: at.instant(),
            saved: at.instant(),
        };
        for sort in [Sort::Saved, Sort::LastModified, Sort::Title] {
            let cursor = Cursor::of(&project, sort);
            prop_assert_eq!(cursor.sort(), sort);
            assert_round_trips(cursor);
        }
    }

    #[test]
    fn an_arbitrary_text_is_refused_as_a_cursor_or_round_trips(text in "\\PC{0,40}|[smt][0-9.-]{0,40}") {
        if let Ok(cursor) = text.parse::<Cursor>() {
            assert_round_trips(cursor);
        }
    }

    #[test]
    fn a_timestamp_of_our_era_round_trips(millis in -62_135_596_800_000..253_402_300_800_000_i64) {
        let time = Timestamp::from_millis(millis);
        prop_assert_eq!(Timestamp::parse_iso8601(&time.to_string()), Some(time));
        prop_assert_eq!(LastModified::parse_or(&time.to_string(), Timestamp::MIN), LastModified::at(time));
    }

    #[test]
    fn any_timestamp_prints_and_no_text_panics(millis: i64, text in "\\PC{0,30}|[0-9TWZ:.+-]{0,30}") {
        let _ = Timestamp::from_millis(millis).to_string();
        let _ = Timestamp::parse_iso8601(&text);
    }

    #[test]
    fn the_difference_is_the_added_duration(millis in -1_i64 << 60..1 << 60, added in 0..1_u64 << 60) {
        let (time, added) = (Timestamp::from_millis(millis), Duration::from_millis(added));
        prop_assert_eq!(time.after(added).since(time), added);
        prop_assert_eq!(time.after(added).before(added), time);
        prop_assert_eq!(time.since(time.after(added)), Duration::ZERO);
    }

    #[test]
    fn parsing_a_media_type_is_idempotent(text in "\\PC{0,40}|[A-Za-z]{1,9}/[A-Za-z0-9+.-]{1,20}(; ?[a-z]+=\"?[a-z]*\"?)?") {
        let media_type = MediaType::parse(&text);
        prop_assert_eq!(&MediaType::parse(media_type.essence()), &media_type);
        prop_assert!(media_type.essence().is_ascii());
    }

    #[test]
    fn notes_nest_up_to_the_limit_and_no_deeper(value in documents()) {
        let text = value.to_string();
        let room = Notes::DEPTH_MAX - depth(&value);
        let nested = |levels: usize| format!("{}{text}{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [0, room] {
            let notes = Notes::parse(nested(levels)).unwrap();
            prop_assert_eq!(notes.as_bytes().to_vec(), nested(levels).into_bytes());
        }
        let too_deep = nested(room + 1);
        prop_assert!(Notes::parse(too_deep).is_err());
        prop_assert!(Notes::parse(text + "]").is_err());
    }

    #[test]
    fn no_bytes_make_notes_panic(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        if let Ok(notes) = Notes::parse(bytes.clone()) {
            prop_assert_eq!(&notes.as_bytes()[..], &bytes[..]);
        }
    }
}

/// JSON documents with strings that look like JSON.
fn documents() -> impl Strategy<Value = Value> {
    let strings = || "[\\[\\]{}\"\\\\a:,]{0,8}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        strings().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(strings(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A source of randomness in which every byte is this one.
#[derive(Debug)]
struct Constant(u8);

impl Random for Constant {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

const TTL: SessionTtl = SessionTtl {
    access: Duration::from_secs(900),
    refresh: Duration::from_secs(3_600),
    session_max: Duration::from_secs(7_200),
};

/// By how much the clock is set: more than the grace, and less than what ends a session.
const CLOCK_STEP: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Ahead,
    Back,
}

/// An event in the life of a session.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    /// The refresh token of this many generations ago is presented.
    Refresh(u64),
    /// An access token of this many generations ago is used.
    Access(u64),
    /// Tokens of a generation that the session never had are presented, as if forged.
    Unheard,
    /// This much time passes.
    Wait(Duration),
    /// The civil clock is set, and no time passes.
    ClockStep(Step),
    /// The session is revoked.
    Revoke,
}

const EVENTS: [Event; 12] = [
    Event::Refresh(0),
    Event::Refresh(1),
    Event::Refresh(2),
    Event::Access(0),
    Event::Access(1),
    Event::Unheard,
    Event::Wait(Duration::from_secs(10)),
    Event::Wait(Session::GRACE),
    Event::Wait(TTL.session_max),
    Event::ClockStep(Step::Ahead),
    Event::ClockStep(Step::Back),
    Event::Revoke,
];

/// A session, and everything that its observer remembers.
#[derive(Clone)]
struct Life {
    session: Session,
    now: Timestamp,
    monotonic: MonotonicTime,
    /// The refresh token of each generation, as it was first issued.
    given_out: Vec<TokenId>,
    /// When the latest refresh token was first issued.
    rotated_at: MonotonicTime,
    /// Whether a token of the latest generation has been seen.
    seen: bool,
    /// Whether the session was revoked, by a request or after a replay.
    ended: bool,
}

impl Life {
    fn begin() -> Self {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let (id, user, first) = (SessionId::from_bytes([1; 16]), UserId::from_bytes([2; 16]), token(0));
        let session = Session::start(id, user, first, "agent", now, &TTL);
        let monotonic = MonotonicTime::new(Duration::ZERO);
        let (given_out, rotated_at) = (vec![first], monotonic);
        Self { session, now, monotonic, given_out, rotated_at, seen: false, ended: false }
    }

    /// The time since the latest rotation, as the process that has rotated knows it.
    fn since(&self) -> Option<Duration> {
        Some(self.monotonic.since(self.rotated_at))
    }

    fn generation(&self) -> u64 {
        self.given_out.len() as u64 - 1
    }

    fn is_over(&self) -> bool {
        self.ended || self.now >= self.session.created.after(TTL.session_max)
    }

    /// The life after an event; absent if the event is impossible.
    fn then(&self, event: Event) -> Option<Self> {
        let mut next = match event {
            Event::Refresh(ago) => self.refreshed(self.generation().checked_sub(ago)?),
            Event::Access(ago) => self.accessed(self.generation().checked_sub(ago)?),
            Event::Unheard => self.unheard(),
            Event::Wait(time) => {
                Self { now: self.now.after(time), monotonic: self.monotonic.after(time), ..self.clone() }
            }
            Event::ClockStep(Step::Ahead) => Self { now: self.now.after(CLOCK_STEP), ..self.clone() },
            Event::ClockStep(Step::Back) => Self { now: self.now.before(CLOCK_STEP), ..self.clone() },
            Event::Revoke => self.revoked(),
        };
        next.check(self);
        next.ended |= next.session.revoked.is_some();
        Some(next)
    }

    fn refreshed(&self, generation: u64) -> Self {
        let presented = self.given_out[usize::try_from(generation).expect("a few")];
        let successor = token(self.generation() + 1);
        let outcome =
            self.session.clone().refresh(presented, generation, successor, self.now, self.since(), &TTL);
        let ago = self.generation() - generation;
        if self.is_over() {
            assert_eq!(outcome, Refresh::Refused, "what has ended stays refused");
            return self.clone();
        }
        let in_grace = self.monotonic.since(self.rotated_at) < Session::GRACE;
        match outcome {
            Refresh::Rotated(session) => {
                assert_eq!(ago, 0, "only the current token rotates");
                assert_eq!((session.current, session.previous), (successor, Some(presented)));
                assert_eq!((session.confirmed, session.rotated_at), (false, self.now));
                let given_out = self.given_out.iter().copied().chain([successor]).collect();
                Self { session, given_out, rotated_at: self.monotonic, seen: false, ..self.clone() }
            }
            Refresh::SameSuccessor(session) => {
                assert_eq!(ago, 1, "only the token before the current one is spared");
                assert!(in_grace || !self.seen, "after the grace a confirmed successor makes it a replay");
                assert_eq!(session, self.session, "the same successor is returned, and nothing changes");
                self.clone()
            }
            Refresh::Replayed(session) => {
                assert!(ago >= 2 || (ago == 1 && !in_grace && self.seen), "{ago} ago is no replay");
                let expected = self.session.clone().revoke(self.now, RevocationReason::Replayed);
                assert_eq!(session, expected, "a replay revokes");
                assert!(session.revoked.is_some());
                Self { session, ..self.clone() }
            }
            Refresh::Refused => panic!("an open session accepts its own tokens"),
        }
    }

    fn accessed(&self, generation: u64) -> Self {
        let is_latest = generation == self.generation();
        match self.session.clone().use_access(generation, self.now) {
            AccessUse::Refused => {
                assert!(self.is_over(), "an open session serves all its access tokens");
                self.clone()
            }
            AccessUse::Good(session) => {
                assert!(!self.is_over() && (!is_latest || self.seen));
                assert_eq!(session, self.session);
                self.clone()
            }
            AccessUse::Confirmed(session) => {
                assert!(!self.is_over() && is_latest && !self.seen, "the first of its generation confirms");
                assert!(session.confirmed);
                assert_eq!(session.last_used, self.now);
                Self { session, seen: true, ..self.clone() }
            }
        }
    }

    fn unheard(&self) -> Self {
        let generation = self.generation() + 1;
        let refresh =
            self.session.clone().refresh(token(99), generation, token(98), self.now, self.since(), &TTL);
        assert_eq!(refresh, Refresh::Refused);
        let access = self.session.clone().use_access(generation, self.now);
        assert_eq!(access, AccessUse::Refused);
        self.clone()
    }

    fn revoked(&self) -> Self {
        let session = self.session.clone().revoke(self.now, RevocationReason::SignedOut);
        assert!(session.revoked.is_some());
        Self { session, ..self.clone() }
    }

    /// Asserts what holds after every event.
    fn check(&self, before: &Self) {
        let (now, then) = (&self.session, &before.session);
        assert!(now.generation >= then.generation, "generations only grow");
        assert_eq!(now.generation, self.generation());
        assert_eq!(
            now.current,
            *self.given_out.last().expect("the first"),
            "a generation has one token, never a branch"
        );
        let previous = self.given_out.len().checked_sub(2).map(|at| self.given_out[at]);
        assert_eq!(now.previous, previous);
        assert_eq!(now.confirmed, self.seen);
        if before.ended {
            assert_eq!(now.revoked, then.revoked, "the first revocation stays");
        }
        assert_eq!((now.created, now.absolute_end), (then.created, then.absolute_end));
        assert_eq!(now.is_open(self.now), !(self.is_over() || now.revoked.is_some()));
        assert!(now.refresh_expires <= now.absolute_end && now.tokens_end <= now.absolute_end);
        assert!(now.tokens_end >= then.tokens_end && now.tokens_end >= now.refresh_expires);
    }
}

fn token(number: u64) -> TokenId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TokenId::from_bytes(bytes)
}

#[test]
fn every_short_sequence_of_refreshes_follows_the_rules() {
    const EVENTS_MAX: usize = 6;

    fn live(life: &Life, events_left: usize, met: &mut HashMap<(bool, u64), u64>) {
        *met.entry((life.ended, life.generation())).or_default() += 1;
        if events_left > 0 {
            let lives = EVENTS.into_iter().filter_map(|event| life.then(event));
            lives.for_each(|life| live(&life, events_left - 1, met));
        }
    }

    let mut met = HashMap::new();
    live(&Life::begin(), EVENTS_MAX, &mut met);
    // The walk has reached every generation that the events allow, both ended and open.
    for generation in 0..=EVENTS_MAX as u64 {
        assert!(met.contains_key(&(false, generation)), "never open in generation {generation}");
    }
    for generation in 0..EVENTS_MAX as u64 {
        assert!(met.contains_key(&(true, generation)), "never ended in generation {generation}");
    }
}

/// The life after these events, all of which must be possible.
#[track_caller]
fn after(events: &[Event]) -> Life {
    events.iter().fold(Life::begin(), |life, event| life.then(*event).expect("it can happen"))
}

#[test]
fn a_token_two_rotations_old_is_a_replay_at_once() {
    for between in [&[][..], &[Event::Access(0)], &[Event::Wait(Session::GRACE)]] {
        let events = [&[Event::Refresh(0), Event::Refresh(0)], between].concat();
        assert!(after(&events).session.is_open(after(&events).now));
        let replayed = after(&[&events[..], &[Event::Refresh(2)]].concat());
        assert_eq!(replayed.session.revoked.map(|it| it.reason), Some(RevocationReason::Replayed));
        // The thief and the victim are both signed out, whichever tokens they have.
        for event in [Event::Refresh(0), Event::Refresh(1), Event::Access(0), Event::Access(1)] {
            assert_eq!(replayed.then(event).unwrap().session, replayed.session);
        }
    }
}

#[test]
fn the_previous_token_is_valid_until_its_successor_is_confirmed() {
    let lost_response =
        [Event::Refresh(0), Event::Wait(Session::GRACE), Event::Wait(Duration::from_secs(10))];
    let again = after(&[&lost_response[..], &[Event::Refresh(1)]].concat());
    assert!(again.session.revoked.is_none());
    assert_eq!(again.generation(), 1);
    let confirmed = [&lost_response[..], &[Event::Access(0), Event::Refresh(1)]].concat();
    assert_eq!(after(&confirmed).session.revoked.map(|it| it.reason), Some(RevocationReason::Replayed));
}

#[test]
fn the_previous_token_is_valid_within_the_grace_period_even_if_confirmed() {
    let almost = Session::GRACE - Duration::from_millis(1);
    let within = [Event::Refresh(0), Event::Access(0), Event::Wait(almost), Event::Refresh(1)];
    assert!(after(&within).session.revoked.is_none());
    let at_its_end = [Event::Refresh(0), Event::Access(0), Event::Wait(Session::GRACE), Event::Refresh(1)];
    assert!(after(&at_its_end).session.revoked.is_some());
}

#[test]
fn a_session_is_remembered_for_as_long_as_its_longest_token() {
    let life = Life::begin();
    let shorter = SessionTtl { refresh: Duration::from_secs(60), ..TTL };
    let next = life.session.clone().refresh(token(0), 0, token(1), life.now, life.since(), &shorter);
    let Refresh::Rotated(rotated) = next else { panic!("the current token rotates") };
    assert!(rotated.refresh_expires < life.session.refresh_expires);
    assert_eq!(rotated.tokens_end, life.session.tokens_end);
}
