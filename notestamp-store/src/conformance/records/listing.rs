//! Listings: which projects they contain, in which order, and page by page while the projects change.

use super::fixture::*;
use crate::domain::{Cursor, LastModified, ListQuery, Metadata, Order, Project, Sort, Start, Title, UserId};
use crate::records::{ListStart, RecordStore};

const SORTS: [Sort; 3] = [Sort::Saved, Sort::LastModified, Sort::Title];
const ORDERS: [Option<Order>; 3] = [None, Some(Order::Ascending), Some(Order::Descending)];

async fn save_all(store: &dyn RecordStore, owner: UserId, titles: &[&str]) {
    for title in titles {
        save(store, owner, title).await.project().await;
    }
}

/// Follows the cursors to the end, as text, in the form that clients send.
async fn walk(store: &dyn RecordStore, owner: UserId, query: &ListQuery) -> Vec<Project> {
    let mut query = query.clone();
    let mut met: Vec<Project> = Vec::new();
    loop {
        let page = store.list_projects(owner, &query).await.unwrap();
        assert!(query.limit.is_none_or(|limit| page.projects.len() <= limit.get()));
        met.extend(page.projects);
        assert!(met.len() <= MANY, "the walk makes no end");
        match page.next {
            Some(next) => {
                let last = met.last().expect("a page with a next one is not empty");
                assert_eq!(next, Cursor::of(last, query.sort()));
                query.start = Start::After(next.to_string().parse().unwrap());
            }
            None => return met,
        }
    }
}

pub async fn the_latest_save_comes_first(store: &dyn RecordStore) {
    let ada = account(store).await;
    save_all(store, ada, &["b", "a", "c"]).await;
    let all = ListQuery::default();
    assert_eq!(titles(store, ada, &all).await, ["c", "a", "b"]);
    save_all(store, ada, &["b"]).await;
    assert_eq!(titles(store, ada, &all).await, ["b", "c", "a"]);
    store.delete_project(ada.into(), &title("c"), NOW).await.unwrap();
    assert_eq!(titles(store, ada, &all).await, ["b", "a"]);
    save_all(store, ada, &["c"]).await;
    assert_eq!(titles(store, ada, &all).await, ["c", "b", "a"]);
}

pub async fn each_sort_has_both_orders(store: &dyn RecordStore) {
    let ada = account(store).await;
    let modified = [
        ("b", "2024-03-01T12:00:00Z"),
        ("Ä", "2024-03-01T14:00:00+01:00"),
        ("B", "2024-02-29"),
        ("a", "2024-03-01T11:59:59.999Z"),
        ("ß", "2024-03-01T13:00+01:00"),
    ];
    for (text, last_modified) in modified {
        let last_modified = LastModified::parse_or(last_modified, NOW);
        save_as(store, ada, Metadata { last_modified, ..metadata(text) }).await.project().await;
    }
    let expected = [
        (Sort::Saved, ["b", "Ä", "B", "a", "ß"]),
        // Projects of equal instants are sorted by id: `b` was created before `ß`.
        (Sort::LastModified, ["B", "a", "b", "ß", "Ä"]),
        // By the case-folded title, and then by the title itself.
        (Sort::Title, ["a", "B", "b", "ß", "Ä"]),
    ];
    for (sort, ascending) in expected {
        let descending: Vec<_> = ascending.iter().rev().copied().collect();
        let sorted = |order| ListQuery { start: Start::First(sort), order, ..ListQuery::default() };
        assert_eq!(titles(store, ada, &sorted(Some(Order::Ascending))).await, ascending, "{sort:?}");
        assert_eq!(titles(store, ada, &sorted(Some(Order::Descending))).await, descending, "{sort:?}");
        let by_default = if sort == Sort::Title { ascending.to_vec() } else { descending };
        assert_eq!(titles(store, ada, &sorted(None)).await, by_default, "{sort:?}");
    }
}

pub async fn pages_with_any_limit_list_all_projects_in_order(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    save_all(store, bob, &["song", "Song", "other"]).await;
    let names =
        ["Song", "song", "SONG", "Straße", "STRASSE", "ΣΟΦΟΣ", "σοφος", "%", "Песня", "ПЕСНЯ", "é", "🎧"];
    for (at, text) in names.into_iter().enumerate() {
        // Three instants, so that there are ties; three types.
        let last_modified = LastModified::at(NOW.after(SECOND * u32::try_from(at * 7 % 3).unwrap()));
        let kind = ["audio", "youtube", "Audio"][at % 3].to_owned();
        save_as(store, ada, Metadata { last_modified, kind, ..metadata(text) }).await.project().await;
    }
    save_all(store, ada, &["song", "%"]).await;
    let all = store.list_projects(ada, &ListQuery::default()).await.unwrap().projects;
    assert_eq!(all.len(), names.len());

    for sort in SORTS {
        for order in ORDERS {
            for (search, kind) in
                [(None, None), (Some("s"), None), (None, Some("audio")), (Some("SS"), Some("youtube"))]
            {
                let (search, kind) = (search.map(str::to_owned), kind.map(str::to_owned));
                let query =
                    ListQuery { search, kind, start: Start::First(sort), order, ..ListQuery::default() };
                let mut expected: Vec<_> = all.iter().filter(|it| query.admits(it)).cloned().collect();
                expected.sort_by_key(|project| Cursor::of(project, sort));
                if query.order() == Order::Descending {
                    expected.reverse();
                }
                assert_eq!(walk(store, ada, &query).await, expected, "{query:?}");
                for limit in [1, 2, expected.len().max(1), MANY] {
                    let query = ListQuery { limit: by(limit).limit, ..query.clone() };
                    assert_eq!(walk(store, ada, &query).await, expected, "{query:?}");
                }
            }
        }
    }
}

pub async fn a_search_is_literal_and_ignores_letter_case(store: &dyn RecordStore) {
    let ada = account(store).await;
    let found: &[(&str, &[&str])] = &[
        ("Song", &["song", "SONG", "on", "", "sonG"]),
        ("100% of_it*?", &["%", "_", "*", "?", "0% OF_", "of_it*"]),
        ("back\\slash", &["\\", "K\\S"]),
        ("[a-z]^$.|(x)", &["[", "$", ".", "(X)", "|"]),
        ("it's \"quoted\"", &["'", "\"", "'S \""]),
        ("Straße", &["SS", "ss", "ß", "ẞ", "strasse", "STRASSE"]),
        ("STRASSE", &["straße", "ß"]),
        ("İstanbul", &["i\u{307}", "İ", "i\u{307}STAN"]),
        ("ΣΟΦΟΣ", &["σοφος", "σοφοσ", "ς"]),
        ("σοφός", &["ΣΟΦΌΣ", "ΣΟΦΟ\u{301}Σ"]),
        ("Песня", &["ПЕСНЯ", "песня", "НЯ"]),
        ("Café", &["CAFÉ", "cafe\u{301}", "É"]),
        ("ﬁlm", &["FILM", "fi"]),
        ("🎧 tab\there", &["🎧", "\t", "🎧 T"]),
    ];
    let absent: &[(&str, &[&str])] = &[
        ("Song", &["s%g", "s_ng", "s*g", ".", "song ", "songs", "\\", "sng"]),
        ("100% of_it*?", &["%_", "100_", "o_it", "\\%"]),
        ("Café", &["cafe", "CAFE"]),
        ("Illinois", &["ı"]),
        ("Песня", &["песняя"]),
    ];
    let mut stored: Vec<Title> = Vec::new();
    for (text, _) in found.iter().chain(absent) {
        if !stored.contains(&title(text)) {
            save(store, ada, text).await.project().await;
            stored.push(title(text));
        }
    }
    for (table, expected) in [(found, true), (absent, false)] {
        for (text, searches) in table {
            for search in *searches {
                let query = ListQuery { search: Some((*search).to_owned()), ..ListQuery::default() };
                let met = titles(store, ada, &query).await.contains(&(*text).to_owned());
                assert_eq!(met, expected, "{search:?} in {text:?}");
            }
        }
    }
}

pub async fn a_contained_text_is_literal_and_compares_letter_case(store: &dyn RecordStore) {
    let ada = account(store).await;
    save_all(store, ada, &["Song", "song", "100% of_it", "Café", "ΣΟΦΟΣ", "🎧 x"]).await;
    for (contains, expected) in [
        ("S", vec!["Song"]),
        ("ong", vec!["song", "Song"]),
        ("0% of", vec!["100% of_it"]),
        ("f_i", vec!["100% of_it"]),
        ("0%it", vec![]),
        ("s_ng", vec![]),
        ("SONG", vec![]),
        ("Cafe\u{301}", vec!["Café"]),
        ("É", vec![]),
        ("ΟΦ", vec!["ΣΟΦΟΣ"]),
        ("οφ", vec![]),
        ("🎧", vec!["🎧 x"]),
        ("", vec!["🎧 x", "ΣΟΦΟΣ", "Café", "100% of_it", "song", "Song"]),
        ("\0", vec![]),
    ] {
        let query = ListQuery { contains: Some(contains.to_owned()), ..ListQuery::default() };
        assert_eq!(titles(store, ada, &query).await, expected, "{contains:?}");
    }
    let both =
        ListQuery { search: Some("SONG".to_owned()), contains: Some("s".to_owned()), ..ListQuery::default() };
    assert_eq!(titles(store, ada, &both).await, ["song"]);
}

pub async fn a_page_at_an_offset_is_a_slice_of_the_list(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    save_all(store, bob, &["x", "y"]).await;
    for (at, text) in ["a", "B", "c", "D", "e", "F", "g"].into_iter().enumerate() {
        let kind = ["audio", "video"][at % 2].to_owned();
        save_as(store, ada, Metadata { kind, ..metadata(text) }).await.project().await;
    }
    for sort in SORTS {
        for order in ORDERS {
            for (kind, contains) in [(None, None), (Some("audio"), None), (None, Some("B"))] {
                let (kind, contains) = (kind.map(str::to_owned), contains.map(str::to_owned));
                let query =
                    ListQuery { start: Start::First(sort), order, kind, contains, ..ListQuery::default() };
                let all = store.list_projects(ada, &query).await.unwrap().projects;
                for skip in [0, 1, 3, all.len(), all.len() + 1, usize::MAX] {
                    let rest = &all[skip.min(all.len())..];
                    let query = ListQuery { skip, ..query.clone() };
                    let page = store.list_projects(ada, &query).await.unwrap();
                    assert_eq!((&*page.projects, page.next), (rest, None), "{query:?}");
                    for limit in [1, 2, 3, MANY] {
                        let query = ListQuery { limit: by(limit).limit, ..query.clone() };
                        let page = store.list_projects(ada, &query).await.unwrap();
                        let slice = &rest[..limit.min(rest.len())];
                        let next = slice.last().filter(|_| rest.len() > limit);
                        let next = next.map(|last| Cursor::of(last, sort));
                        assert_eq!((&*page.projects, page.next), (slice, next), "{query:?}");
                    }
                }
            }
        }
    }
}

pub async fn a_search_finds_the_current_title(store: &dyn RecordStore) {
    let ada = account(store).await;
    save_all(store, ada, &["Song"]).await;
    let query = ListQuery { search: Some("song".to_owned()), ..ListQuery::default() };
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert_eq!(titles(store, ada, &query).await, [""; 0]);
    save_all(store, ada, &["My songs"]).await;
    assert_eq!(titles(store, ada, &query).await, ["My songs"]);
}

/// Searches for n-grams that more projects have than a backend examines one by one, and for n-grams that few have.
pub async fn a_search_in_many_titles_finds_rare_and_common_texts(store: &dyn RecordStore) {
    let ada = account(store).await;
    for n in 0..250 {
        let kind = ["audio", "video"][n % 2].to_owned();
        save_as(store, ada, Metadata { kind, ..metadata(&format!("Lecture {n:03}")) }).await.project().await;
    }
    save_all(store, ada, &["Reading 7", "lecture on leeks", "Lecture 100"]).await;
    let all = store.list_projects(ada, &ListQuery::default()).await.unwrap().projects;
    for (text, found) in [
        ("lecture", 251),
        ("lecture 24", 10),
        ("7", 44),
        ("r", 252),
        ("re", 252),
        ("ee", 1),
        ("leeks", 1),
        // Each of its n-grams is common, but no title contains it.
        ("lecturelecture", 0),
        ("q", 0),
        ("qz", 0),
        ("absent", 0),
    ] {
        let search = ListQuery { search: Some(text.to_uppercase()), ..ListQuery::default() };
        let contains = ListQuery { contains: Some(text.to_owned()), ..ListQuery::default() };
        assert_eq!(titles(store, ada, &search).await.len(), found, "{text}");
        for query in [search, contains] {
            for (sort, kind) in
                [(Sort::Saved, None), (Sort::LastModified, Some("audio")), (Sort::Title, None)]
            {
                let query =
                    ListQuery { start: Start::First(sort), kind: kind.map(str::to_owned), ..query.clone() };
                let mut expected: Vec<_> = all.iter().filter(|it| query.admits(it)).cloned().collect();
                expected.sort_by_key(|project| Cursor::of(project, sort));
                if query.order() == Order::Descending {
                    expected.reverse();
                }
                let query = ListQuery { limit: by(100).limit, ..query };
                assert_eq!(walk(store, ada, &query).await, expected, "{query:?}");
            }
        }
    }
}

pub async fn a_type_is_compared_exactly(store: &dyn RecordStore) {
    let ada = account(store).await;
    for (text, kind) in
        [("one", "audio"), ("two", "Audio"), ("three", ""), ("four", "audio "), ("five", "a%")]
    {
        save_as(store, ada, Metadata { kind: kind.to_owned(), ..metadata(text) }).await.project().await;
    }
    for (kind, expected) in
        [("audio", vec!["one"]), ("", vec!["three"]), ("a%", vec!["five"]), ("video", vec![])]
    {
        let query = ListQuery { kind: Some(kind.to_owned()), ..ListQuery::default() };
        assert_eq!(titles(store, ada, &query).await, expected, "{kind:?}");
    }
    // The type of the latest save counts.
    save_as(store, ada, Metadata { kind: "video".to_owned(), ..metadata("one") }).await.project().await;
    let query = |kind: &str| ListQuery { kind: Some(kind.to_owned()), ..ListQuery::default() };
    assert_eq!(titles(store, ada, &query("audio")).await, [""; 0]);
    assert_eq!(titles(store, ada, &query("video")).await, ["one"]);
}

pub async fn the_last_page_has_no_cursor(store: &dyn RecordStore) {
    let ada = account(store).await;
    save_all(store, ada, &["a", "b", "c", "Else"]).await;
    for (limit, more) in [(1, true), (3, true), (4, false), (5, false)] {
        let page = store.list_projects(ada, &by(limit)).await.unwrap();
        assert_eq!((page.projects.len(), page.next.is_some()), (limit.min(4), more), "{limit}");
    }
    // Projects that do not match make no next page.
    let query = ListQuery { search: Some("else".to_owned()), ..by(1) };
    assert!(store.list_projects(ada, &query).await.unwrap().next.is_none());
    assert!(store.list_projects(ada, &ListQuery::default()).await.unwrap().next.is_none());
}

pub async fn a_cursor_without_a_limit_lists_the_rest(store: &dyn RecordStore) {
    let ada = account(store).await;
    save_all(store, ada, &["a", "b", "c", "d"]).await;
    let first = store.list_projects(ada, &by(1)).await.unwrap();
    let rest = ListQuery { start: Start::After(first.next.unwrap()), ..ListQuery::default() };
    assert_eq!(titles(store, ada, &rest).await, ["c", "b", "a"]);
}

pub async fn a_cursor_stays_valid_after_its_project_is_deleted(store: &dyn RecordStore) {
    let ada = account(store).await;
    for sort in SORTS {
        save_all(store, ada, &["a", "b", "c", "d"]).await;
        let query = ListQuery { start: Start::First(sort), order: Some(Order::Ascending), ..by(2) };
        let page = store.list_projects(ada, &query).await.unwrap();
        let last = &page.projects.last().unwrap().metadata.title;
        assert_eq!(last.as_str(), "b");
        store.delete_project(ada.into(), last, NOW).await.unwrap();
        let rest = ListQuery { start: Start::After(page.next.unwrap()), ..query };
        assert_eq!(titles(store, ada, &rest).await, ["c", "d"], "{sort:?}");
        for text in ["a", "c", "d"] {
            store.delete_project(ada.into(), &title(text), NOW).await.unwrap();
        }
        assert_eq!(titles(store, ada, &rest).await, [""; 0], "{sort:?}");
    }
}

pub async fn unchanged_projects_are_listed_once_while_others_change(store: &dyn RecordStore) {
    for sort in SORTS {
        for order in ORDERS {
            let ada = account(store).await;
            let untouched: Vec<String> = (0..12).map(|at| format!("untouched {at:02}")).collect();
            for (at, text) in untouched.iter().enumerate() {
                save_all(store, ada, &[text, &format!("saved {at:02}"), &format!("deleted {at:02}")]).await;
            }
            let mut query = ListQuery { start: Start::First(sort), order, ..by(2) };
            let mut met = Vec::new();
            // The changes end before the walk: otherwise it could follow new saves for ever.
            for step in 0.. {
                let page = store.list_projects(ada, &query).await.unwrap();
                met.extend(page.projects.into_iter().map(|it| it.metadata.title.as_str().to_owned()));
                assert!(met.len() <= MANY, "the walk makes no end");
                let Some(next) = page.next else { break };
                query.start = Start::After(next);
                if step < untouched.len() {
                    let deleted = title(&format!("deleted {step:02}"));
                    store.delete_project(ada.into(), &deleted, NOW).await.unwrap();
                    save_all(store, ada, &[&format!("saved {step:02}"), &format!("new {step:02}")]).await;
                }
            }
            met.retain(|text| text.starts_with("untouched"));
            met.sort();
            assert_eq!(met, untouched, "{sort:?} {order:?}");
        }
    }
}

pub async fn a_list_starts_with_projects_and_ends_with_ids(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    save_all(store, bob, &["song", "other"]).await;
    for (at, text) in ["Song", "song b", "Else", "song a", "SONG", "last song"].into_iter().enumerate() {
        let kind = ["audio", "youtube"][at % 2].to_owned();
        save_as(store, ada, Metadata { kind, ..metadata(text) }).await.project().await;
    }
    for sort in SORTS {
        for order in ORDERS {
            for (search, kind, skip) in
                [(None, None, 0), (Some("song"), None, 0), (None, Some("audio"), 1), (Some("no"), None, 0)]
            {
                let (search, kind) = (search.map(str::to_owned), kind.map(str::to_owned));
                let start = Start::First(sort);
                let query = ListQuery { search, kind, start, order, skip, ..ListQuery::default() };
                let all = store.list_projects(ada, &query).await.unwrap().projects;
                for len in [1, 2, all.len().max(1), MANY] {
                    // Whatever the limit.
                    let limited = ListQuery { limit: by(1).limit, ..query.clone() };
                    let start = store.start_list(ada, &limited, by(len).limit.unwrap()).await.unwrap();
                    let (first, rest) = all.split_at(len.min(all.len()));
                    assert_eq!(start.projects, first, "{query:?}");
                    assert_eq!(start.rest, rest.iter().map(|it| it.id).collect::<Vec<_>>(), "{query:?}");
                }
            }
        }
    }
}

pub async fn projects_are_found_in_the_order_of_their_ids_in_the_request(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    save_all(store, ada, &["a", "b", "c"]).await;
    save_all(store, bob, &["of bob"]).await;
    let [c, b, a] = <[Project; 3]>::try_from(snapshot(store, ada).await.projects).unwrap();
    let of_bob = snapshot(store, bob).await.projects[0].id;
    let found = store.find_projects_by_ids(ada, &[b.id, of_bob, a.id, project_id(), c.id]).await.unwrap();
    assert_eq!(found, [b.clone(), a.clone(), c]);
    store.delete_project(ada.into(), &title("b"), NOW).await.unwrap();
    assert_eq!(store.find_projects_by_ids(ada, &[b.id, a.id]).await.unwrap(), std::slice::from_ref(&a));
    assert_eq!(store.find_projects_by_ids(ada, &[]).await.unwrap(), []);
    store.remove_user(ada.into(), NOW).await.unwrap();
    assert_eq!(store.find_projects_by_ids(ada, &[a.id]).await.unwrap(), []);
    let start = store.start_list(ada, &ListQuery::default(), by(2).limit.unwrap()).await.unwrap();
    assert_eq!(start, ListStart::default());
}

pub async fn a_started_list_contains_what_existed_throughout_once_and_in_order(store: &dyn RecordStore) {
    for sort in SORTS {
        for order in ORDERS {
            let ada = account(store).await;
            for at in 0..10 {
                save_all(
                    store,
                    ada,
                    &[&format!("kept {at}"), &format!("saved {at}"), &format!("deleted {at}")],
                )
                .await;
            }
            let query = ListQuery { start: Start::First(sort), order, ..ListQuery::default() };
            let mut expected = titles(store, ada, &query).await;
            let start = store.start_list(ada, &query, by(2).limit.unwrap()).await.unwrap();
            let mut met = start.projects;
            for (step, ids) in start.rest.chunks(2).enumerate() {
                if step < 10 {
                    let deleted = title(&format!("deleted {step}"));
                    store.delete_project(ada.into(), &deleted, NOW).await.unwrap();
                    // A project of a deleted title is another project.
                    save_all(
                        store,
                        ada,
                        &[&format!("saved {step}"), &format!("new {step}"), deleted.as_str()],
                    )
                    .await;
                }
                met.extend(store.find_projects_by_ids(ada, ids).await.unwrap());
            }
            let mut met: Vec<_> = met.iter().map(|it| it.metadata.title.as_str().to_owned()).collect();
            // Deleted projects may have been met before their deletion.
            met.retain(|text| !text.starts_with("deleted"));
            expected.retain(|text| !text.starts_with("deleted"));
            assert_eq!(met, expected, "{sort:?} {order:?}");
        }
    }
}
