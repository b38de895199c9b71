//! When the list of a bucket is accepted: two that agree, each of them well-formed, and nothing behind the last name.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::time::SystemTime;

use super::service::{Ask, Item, Page, Service, not_a_listing};
use crate::blob::{Cause, Trouble};

/// Pages of one listing: a thousand names each, of two hundred million blobs. More is a listing without an end.
const MAX_PAGES: usize = 200_000;

/// Pages without a name that are followed by others.
const MAX_EMPTY_PAGES: usize = 100;

/// How often two listings may differ because somebody writes at the same time.
const MAX_LISTINGS: usize = 4;

/// Names and sizes, by which two listings are compared.
pub(super) type Listed = BTreeMap<String, (u64, Option<SystemTime>)>;

/// Makes two listings at the same time until they agree; one of them to the end.
pub(super) async fn certain(list: impl AsyncFn(bool) -> Result<Listed, Trouble>) -> Result<Listed, Trouble> {
    let mut why = String::new();
    for _ in 0..MAX_LISTINGS {
        let (first, second) = tokio::join!(list(true), list(false));
        let (first, second) = (first?, second?);
        match difference(&first, &second) {
            None => return Ok(first),
            Some(name) => {
                why = format!("one of two listings made at the same time has {name}, the other has not");
            }
        }
    }
    Err(Trouble::new(Cause::ListingUncertain, why))
}

/// All pages of one listing; `to_the_end` asks once more for what is behind the last name.
pub(super) async fn listing(
    service: &Service,
    prefix: &str,
    flat: bool,
    to_the_end: bool,
) -> Result<Listed, Trouble> {
    let mut listed = Listed::new();
    let mut tokens: HashSet<String> = HashSet::new();
    let (mut token, mut empty): (Option<String>, usize) = (None, 0);
    loop {
        let ask = Ask { prefix, flat, token: token.as_deref(), after: None };
        let Page { items, next, folders } = service.page(ask).await?;
        empty = if items.is_empty() && folders == 0 { empty + 1 } else { 0 };
        for Item { key, size, modified } in items {
            if !key.starts_with(prefix) {
                return Err(not_a_listing(format!("it has {key:?}, which does not begin with {prefix:?}")));
            }
            match listed.entry(key) {
                Entry::Occupied(there) => {
                    return Err(not_a_listing(format!("it has {:?} twice", there.key())));
                }
                Entry::Vacant(place) => place.insert((size, modified)),
            };
        }
        let Some(next) = next else { break };
        if !tokens.insert(next.clone()) || tokens.len() > MAX_PAGES || empty > MAX_EMPTY_PAGES {
            return Err(not_a_listing("it has no end"));
        }
        token = Some(next);
    }
    if let Some(last) = listed.keys().next_back().filter(|_| to_the_end && service.lists_after()) {
        let ask = Ask { prefix, flat, token: None, after: Some(last.as_str()) };
        let behind = service.page(ask).await?;
        if let Some(item) = behind.items.iter().find(|item| item.key > *last) {
            let why = format!("it ended before {:?}, which is there", item.key);
            return Err(Trouble::new(Cause::ListingUncertain, why));
        }
    }
    Ok(listed)
}

/// A name that one listing has and the other has not, or with another size.
fn difference(first: &Listed, second: &Listed) -> Option<String> {
    let missing = |these: &Listed, those: &Listed| {
        let mut differ =
            these.iter().filter(|(key, (size, _))| those.get(*key).map(|(size, _)| size) != Some(size));
        differ.next().map(|(key, _)| key.clone())
    };
    missing(first, second).or_else(|| missing(second, first))
}
