//! What can be synced by name: where it is, how it pages, what tells its records apart.

use cxone_client::PageStyle;

/// Something to sync.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: String,
    /// Its records, in lines for people: `interactions`.
    pub(crate) noun: String,
    pub(crate) path: String,
    pub(crate) style: PageStyle,
    /// The field that tells a record from others; empty: none does, each is one of its own.
    pub(crate) id: String,
}

/// What one of them is called.
pub(crate) fn singular(noun: &str) -> String {
    match noun.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => noun.strip_suffix('s').unwrap_or(noun).to_owned(),
    }
}

/// Name, noun, path, style, field of the items, field of the id.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

/// The version of the ACD's APIs is pinned for each path.
const RESOURCES: [Row; 9] = [
    ("interactions", "interactions", "/api/v2.0/interactions", "cursor", "entities", "id"),
    ("agents", "agents", "/incontactapi/services/v34.0/agents", "links", "agents", "agentId"),
    ("skills", "skills", "/incontactapi/services/v34.0/skills", "links", "skills", "skillId"),
    ("teams", "teams", "/incontactapi/services/v34.0/teams", "links", "teams", "teamId"),
    (
        "contacts-completed",
        "contacts",
        "/incontactapi/services/v34.0/contacts/completed",
        "updated-since",
        "completedContacts",
        "contactId",
    ),
    (
        "skills-summary",
        "summaries",
        "/incontactapi/services/v34.0/skills/summary",
        "windows",
        "skillSummaries",
        "",
    ),
    ("digital-contacts", "contacts", "/dfo/3.0/contacts", "scroll", "data", "id"),
    (
        "segments",
        "segments",
        "/interaction-analytics-gateway/v2/segments/analyzed",
        "segments",
        "interactions",
        "segmentId",
    ),
    ("users", "users", "/user-management/v1/users/search", "search", "users", "id"),
];

impl Resource {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Resource> {
        let row = RESOURCES.into_iter().find(|row| row.0 == name)?;
        let (name, noun, path, style, items, id) = row;
        let [name, noun, path, id] = [name, noun, path, id].map(str::to_owned);
        Some(Resource { name, noun, path, style: PageStyle::named(style)?.items(items), id })
    }

    /// Anything else, named after the end of its path.
    pub(crate) fn other(path: &str, style: PageStyle, id: &str) -> Resource {
        let bare = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let name = bare.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("records");
        Resource {
            name: name.to_owned(),
            noun: "records".to_owned(),
            path: path.to_owned(),
            style,
            id: id.to_owned(),
        }
    }

    /// The names that there are.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        RESOURCES.into_iter().map(|row| row.0)
    }

    /// Is it asked for by time?
    pub(crate) fn has_times(&self) -> bool {
        matches!(self.style.name(), "updated-since" | "windows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_of_a_resource_in_a_style_that_exists() {
        for name in Resource::names() {
            let resource = Resource::named(name).unwrap_or_else(|| panic!("{name}"));
            assert!(!resource.style.items_field().is_empty(), "{name}");
        }
        assert_eq!(["summaries", "agents"].map(singular), ["summary", "agent"]);
        let other = Resource::other("/a/v1/things/?x=y", PageStyle::cursor(), "id");
        assert_eq!(other.name, "things");
    }
}
