//! Listings of the `/project` dialect, whose clients page by offset and send their filters as JSON.

use notestamp_store::{InvalidValue, ListQuery, Order, Project, ProjectId, Sort, Start};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Deserialize, Serialize};
use url::Url;

use super::json::described;
use super::metadata::ProjectMetadata;
use crate::config::{PAGE_LEN, ProjectListEntries};

/// The parameters of `GET /project/list`, as the client sent them.
#[derive(Debug, Default)]
pub(crate) struct PageParameters {
    /// How many projects come before the page.
    pub(crate) page_param: Option<usize>,
    /// A text that titles must contain; letter case counts. Empty counts as absent.
    pub(crate) search_param: Option<String>,
    /// JSON: `[{"id": "type", "value": "audio"}]`.
    pub(crate) column_filters: Option<String>,
    /// JSON: `[{"id": "lastModified", "desc": false}]`.
    pub(crate) sorting: Option<String>,
}

/// A condition on a column of the client's table; without a value it is ignored.
#[derive(Deserialize)]
struct ColumnFilter {
    id: String,
    value: Option<serde_json::Value>,
}

/// A column by which the client's table is sorted.
#[derive(Deserialize)]
struct ColumnSort {
    id: String,
    desc: Option<bool>,
}

impl PageParameters {
    /// The store's query for these parameters: without any parameter, all projects.
    ///
    /// # Errors
    /// If the filters or the sorting are malformed.
    pub(crate) fn to_query(&self) -> Result<ListQuery, InvalidValue> {
        let Self { page_param, search_param, column_filters, sorting } = self;
        if page_param.is_none() && search_param.is_none() && column_filters.is_none() && sorting.is_none() {
            return Ok(ListQuery::default());
        }
        let sorting: Vec<ColumnSort> = parse("sorting", sorting.as_deref())?;
        let ascends = sorting.iter().any(|column| column.id == "lastModified" && column.desc == Some(false));
        Ok(ListQuery {
            contains: search_param.clone().filter(|text| !text.is_empty()),
            kind: wanted_type(parse("columnFilters", column_filters.as_deref())?)?,
            start: Start::First(Sort::LastModified),
            order: Some(if ascends { Order::Ascending } else { Order::Descending }),
            limit: Some(PAGE_LEN),
            skip: page_param.unwrap_or(0),
            ..ListQuery::default()
        })
    }
}

/// Parses a JSON array. Absent, and the texts that clients send in place of an absent one, give an empty array.
fn parse<T: for<'de> Deserialize<'de>>(
    name: &'static str,
    json: Option<&str>,
) -> Result<Vec<T>, InvalidValue> {
    match json {
        None | Some("" | "null" | "undefined") => Ok(Vec::new()),
        Some(json) => {
            serde_json::from_str(json).map_err(|e| InvalidValue::new(name, format!("cannot be read: {e}")))
        }
    }
}

fn wanted_type(filters: Vec<ColumnFilter>) -> Result<Option<String>, InvalidValue> {
    let of_type = filters.into_iter().filter(|filter| filter.id == "type");
    match of_type.filter_map(|filter| filter.value).next_back() {
        None => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(InvalidValue::new("columnFilters", "has a type that is not a text")),
    }
}

/// A page of an account's projects, or all of them.
#[derive(Debug, Serialize)]
pub(crate) struct ProjectList {
    projects: Vec<ProjectListEntry>,
    /// The offset of the next page; `null` if this page is the last.
    #[serde(rename = "nextOffset")]
    next_offset: Option<usize>,
}

/// One project in the list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum ProjectListEntry {
    /// Its metadata.
    Object(Box<ProjectMetadata>),
    /// Its title, for clients that expect only titles.
    Title(String),
}

impl ProjectListEntry {
    /// The entry of a project.
    pub(crate) fn new(
        project: Project,
        entries: ProjectListEntries,
        media_url: impl Fn(ProjectId) -> String,
    ) -> Self {
        match entries {
            ProjectListEntries::Objects => {
                Self::Object(Box::new(ProjectMetadata::new(project, media_url).map_src(url_or_nothing)))
            }
            ProjectListEntries::Titles => Self::Title(project.metadata.title.as_str().to_owned()),
        }
    }
}

impl ProjectList {
    /// A page; `next_offset` counts the projects before the next page, and is `None` on the last page.
    pub(crate) fn new(projects: Vec<ProjectListEntry>, next_offset: Option<usize>) -> Self {
        Self { projects, next_offset }
    }
}

/// Returns a `src` that clients of this list can parse: an absolute URL, or an empty text.
///
/// The newest client validates the whole list by a schema that allows only these, so it would show no projects at all
/// if one had another `src`. Clients of 2023-24 have stored others: URLs without a scheme, which get `https://`, and
/// bare video ids, paths and `undefined`, which become empty.
fn url_or_nothing(src: String) -> String {
    if src.is_empty() || Url::parse(&src).is_ok() {
        return src;
    }
    let completed = format!("https://{src}");
    // Only a domain with a dot: a number, such as a video id, would be parsed as an IP address.
    let has_domain = |url: &Url| url.domain().is_some_and(|domain| domain.contains('.'));
    if Url::parse(&completed).is_ok_and(|url| has_domain(&url)) { completed } else { String::new() }
}

described!(ProjectList, "ProjectList", {
    let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
    let title = inline(MetaSchema::new("string"));
    let any_of = vec![ProjectMetadata::schema_ref(), title];
    let entry = inline(MetaSchema { any_of, ..MetaSchema::ANY });
    let projects = MetaSchema {
        description: Some("The metadata of the projects; only their titles with `--project-list titles`."),
        items: Some(Box::new(entry)),
        ..MetaSchema::new("array")
    };
    let next = MetaSchema {
        description: Some("The `pageParam` of the next page; `null` on the last page."),
        nullable: true,
        ..MetaSchema::new("integer")
    };
    MetaSchema {
        description: Some("A page of an account's projects, or all of them."),
        required: vec!["projects", "nextOffset"],
        properties: vec![("projects", inline(projects)), ("nextOffset", inline(next))],
        ..MetaSchema::new("object")
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    fn given(column_filters: &str, sorting: &str) -> PageParameters {
        PageParameters {
            page_param: Some(40),
            search_param: Some("S".to_owned()),
            column_filters: Some(column_filters.to_owned()),
            sorting: Some(sorting.to_owned()),
        }
    }

    #[test]
    fn without_parameters_all_are_listed_and_the_latest_save_first() {
        let query = PageParameters::default().to_query().unwrap();
        assert_eq!((query.limit, query.sort(), query.skip), (None, Sort::Saved, 0));
    }

    #[test]
    fn the_clients_parameters_are_read() {
        let query = given(r#"[{"id":"type","value":"audio"}]"#, r#"[{"id":"lastModified","desc":false}]"#)
            .to_query()
            .unwrap();
        assert_eq!((query.contains.as_deref(), query.kind.as_deref()), (Some("S"), Some("audio")));
        assert_eq!((query.sort(), query.order()), (Sort::LastModified, Order::Ascending));
        assert_eq!((query.limit, query.skip), (Some(PAGE_LEN), 40));
    }

    #[test]
    fn empty_filters_and_sortings_have_no_effect() {
        for filters in ["", "[]", "null", "undefined", r#"[{"id":"type"}]"#, r#"[{"id":"type","value":""}]"#]
        {
            for sorting in
                ["", "[]", r#"[{"id":"lastModified","desc":true}]"#, r#"[{"id":"title","desc":false}]"#]
            {
                let query = given(filters, sorting).to_query().unwrap();
                assert_eq!(
                    (query.kind.as_deref(), query.order()),
                    (None, Order::Descending),
                    "{filters} {sorting}"
                );
            }
        }
    }

    #[test]
    fn a_malformed_parameter_is_refused_with_its_name() {
        for filters in ["{", "{}", "[1]", r#"[{"value":"audio"}]"#, r#"[{"id":"type","value":["audio"]}]"#] {
            assert_eq!(given(filters, "[]").to_query().unwrap_err().what(), "columnFilters");
        }
        assert_eq!(given("[]", "[").to_query().unwrap_err().what(), "sorting");
    }
}
