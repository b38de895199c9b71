//! Policies (`format-spec/15-policies-and-retention.md`): what clients keep, ignore and do. To a reader they matter for
//! the reasons why snapshots are kept, and because people ask to see them.

mod fields;
mod value;

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

use self::fields::{FIELDS, Field, Rule, SECTIONS};
pub use self::value::{Action, PolicyValue, TimeOfDay};
use super::manifest::{HOST_LABEL, PATH_LABEL, USER_LABEL};
use super::{Error, Retention, Source};
use crate::gojson::{key_matches, write};
use crate::manifest::{Manifest, ManifestId, ManifestSet, TYPE_LABEL};

/// The `type` label of policies.
const POLICY_TYPE: &str = "policy";
/// The label that says what a policy is for.
const KIND_LABEL: &str = "policyType";

/// A policy: some settings, the others being inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Settings by their path in the JSON form.
    values: BTreeMap<&'static [&'static str], PolicyValue>,
    no_parent: bool,
}

impl Policy {
    /// Reads a policy from its JSON form.
    fn parse(data: &[u8]) -> Result<Policy, String> {
        let json: Json = serde_json::from_slice(data).map_err(|e| e.to_string())?;
        let mut policy = Policy::default();
        for field in FIELDS {
            let mut value = Some(&json);
            for key in field.path {
                value = match value {
                    Some(Json::Object(members)) => member(members, key),
                    None | Some(Json::Null) => None,
                    Some(_) => return Err(format!("what holds {key:?} is not an object")),
                };
            }
            let Some(value) = value.filter(|value| !value.is_null()) else { continue };
            let value = field.rule.read(value).map_err(|why| format!("{}: {why}", field.path.join(".")))?;
            policy.values.extend(field.rule.is_set(&value).then_some((field.path, value)));
        }
        policy.no_parent = match json.as_object().and_then(|members| member(members, "noParent")) {
            Some(Json::Bool(no_parent)) => *no_parent,
            None | Some(Json::Null) => false,
            Some(_) => return Err("noParent is not a boolean".to_owned()),
        };
        Ok(policy)
    }

    /// What the policy says at a path of its JSON form, such as `["files", "ignore"]`; `None` where it leaves that to
    /// others.
    pub fn get(&self, path: &[&str]) -> Option<&PolicyValue> {
        self.values.iter().find(|(known, _)| **known == path).map(|(_, value)| value)
    }

    /// Whether nothing is inherited from policies farther up, nor from the defaults.
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn no_parent(&self) -> bool {
        self.no_parent
    }

    /// What the policy says about keeping snapshots.
    pub fn retention(&self) -> Retention {
        Retention::by_name(|name| match self.get(&["retention", name]) {
            Some(PolicyValue::Number(number)) => Some(*number),
            _ => None,
        })
    }

    /// Fills in what `other`, which is less specific, says and this one does not.
    fn inherit(&mut self, other: &Policy) {
        // Flags that stop inheritance take effect after the list next to them was taken over.
        let stopped = |policy: &Policy, flag: Option<&'static [&'static str]>| {
            flag.is_some_and(|flag| policy.values.get(flag) == Some(&PolicyValue::Flag(true)))
        };
        for Field { path, rule } in FIELDS {
            let Some(theirs) = other.values.get(path) else { continue };
            if stopped(self, rule.stopped_by()) {
                continue;
            }
            let merged = match self.values.remove(path) {
                None => rule.is_inherited().then(|| rule.normalized(theirs)),
                Some(ours) => Some(rule.merge(ours, theirs)),
            };
            self.values.extend(merged.map(|value| (*path, value)));
        }
    }

    /// The effective policy of a target from those that apply to it, the most specific one first. `has_own` tells whether
    /// that is the target's own.
    fn merge(policies: &[&Policy], has_own: bool) -> Policy {
        let mut merged = Policy::default();
        for policy in policies {
            merged.inherit(policy);
            if policy.no_parent {
                return merged;
            }
        }
        merged.inherit(&fields::defaults());
        // What applies to one folder alone is not inherited.
        if let Some(own) = policies.first().filter(|_| has_own) {
            let alone = FIELDS.iter().filter(|field| !field.rule.is_inherited());
            let own = alone.filter_map(|field| Some((field.path, own.values.get(field.path)?.clone())));
            merged.values.extend(own);
        }
        merged
    }

    /// The policy byte for byte as Kopia prints it.
    pub fn to_kopia_json(&self) -> Result<String, serde_json::Error> {
        write::to_string(self)
    }

    /// The sections as Kopia writes them, some of which hold others.
    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for section in SECTIONS {
            map.serialize_entry(section, &Part { policy: self, path: &[section] })?;
        }
        if self.no_parent {
            map.serialize_entry("noParent", &true)?;
        }
        Ok(())
    }
}

/// The member of an object with this key. Of several spellings Go takes the last one written; here an exact one goes
/// first, since the order is no longer known.
fn member<'a>(members: &'a serde_json::Map<String, Json>, key: &str) -> Option<&'a Json> {
    let folded = || members.iter().find(|(known, _)| key_matches(key, known)).map(|(_, value)| value);
    members.get(key).or_else(folded)
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

/// A section of a policy, or a part of one.
struct Part<'a> {
    policy: &'a Policy,
    path: &'a [&'static str],
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut done = "";
        for field in FIELDS {
            let Some([key, rest @ ..]) = field.path.strip_prefix(self.path) else { continue };
            if rest.is_empty() {
                if let Some(value) = self.policy.values.get(field.path) {
                    map.serialize_entry(key, value)?;
                }
            } else if *key != done {
                done = key;
                let path: Vec<&'static str> = self.path.iter().copied().chain([*key]).collect();
                map.serialize_entry(key, &Part { policy: self.policy, path: &path })?;
            }
        }
        map.end()
    }
}

/// A policy of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedPolicy {
    /// Its manifest.
    pub id: ManifestId,
    /// What it is for: a path, all paths of a user, all users of a host, or everything.
    pub target: Source,
    kind: String,
    policy: Result<Policy, String>,
}

impl DefinedPolicy {
    fn new(manifest: &Manifest) -> DefinedPolicy {
        let label = |key| manifest.label(key).unwrap_or_default();
        DefinedPolicy {
            id: manifest.id().clone(),
            target: Source::new(label(USER_LABEL), label(HOST_LABEL), label(PATH_LABEL)),
            kind: label(KIND_LABEL).to_owned(),
            policy: Policy::parse(manifest.data()),
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// [`Error::Manifest`] if the manifest cannot be parsed.
    pub fn policy(&self) -> Result<&Policy, Error> {
        self.policy.as_ref().map_err(|reason| Error::Manifest { id: self.id.clone(), reason: reason.clone() })
    }

    /// The policy as an item of `kopia policy list --json`.
    ///
    /// # Errors
    /// As [`DefinedPolicy::policy`].
    pub fn listed(&self) -> Result<ListedPolicy<'_>, Error> {
        Ok(ListedPolicy { id: &self.id, target: &self.target, policy: self.policy()? })
    }
}

/// A policy with its ID and target, serialised with Kopia's keys in Kopia's order.
#[derive(Debug, Clone, Copy)]
pub struct ListedPolicy<'a> {
    id: &'a ManifestId,
    target: &'a Source,
    policy: &'a Policy,
}

impl ListedPolicy<'_> {
    /// The item byte for byte as Kopia prints it.
    pub fn to_kopia_json(self) -> Result<String, serde_json::Error> {
        write::to_string(&self)
    }
}

impl Serialize for ListedPolicy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("target", self.target)?;
        self.policy.serialize_into(&mut map)?;
        map.end()
    }
}

/// All policies of a repository.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// Oldest first.
    all: Vec<DefinedPolicy>,
}

impl Policies {
    /// Reads the policies among the manifests.
    pub fn new(manifests: &ManifestSet) -> Policies {
        Policies {
            all: manifests.find(&[(TYPE_LABEL, POLICY_TYPE)]).into_iter().map(DefinedPolicy::new).collect(),
        }
    }

    /// All policies in the order of their targets' display forms.
    pub fn all(&self) -> Vec<&DefinedPolicy> {
        let mut all: Vec<&DefinedPolicy> = self.all.iter().collect();
        all.sort_by_cached_key(|defined| defined.target.to_string());
        all
    }

    /// The policy with this manifest ID.
    pub fn get(&self, id: &str) -> Option<&DefinedPolicy> {
        self.all.iter().find(|defined| defined.id.as_str() == id)
    }

    /// The policies that apply to `target`, the most specific first. Of several for the same target, which concurrent
    /// writers can leave behind, the oldest is first, as in Kopia.
    pub fn hierarchy(&self, target: &Source) -> Vec<&DefinedPolicy> {
        let mut targets = Vec::new();
        let mut path = (!target.path.is_empty()).then(|| target.clone());
        while let Some(next) = path {
            path = next.parent();
            targets.push(next);
        }
        targets.push(Source { path: String::new(), ..target.clone() });
        targets.push(Source { path: String::new(), user: String::new(), ..target.clone() });
        targets.push(Source::default());
        targets.dedup();
        targets.iter().flat_map(|target| self.all.iter().filter(|defined| is_for(defined, target))).collect()
    }

    /// What applies to `target` after inheritance and defaults.
    ///
    /// # Errors
    /// [`Error::Manifest`] if one of the policies concerned cannot be parsed.
    pub fn effective(&self, target: &Source) -> Result<Policy, Error> {
        let hierarchy = self.hierarchy(target);
        let policies = hierarchy.iter().map(|defined| defined.policy()).collect::<Result<Vec<_>, _>>()?;
        let has_own = hierarchy.first().is_some_and(|first| first.target == *target);
        Ok(Policy::merge(&policies, has_own))
    }

    /// Where the settings of [`Policies::effective`] come from.
    ///
    /// # Errors
    /// As [`Policies::effective`].
    pub fn origins(&self, target: &Source) -> Result<Origins, Error> {
        let hierarchy = self.hierarchy(target);
        let parsed = hierarchy.iter().map(|defined| Ok((&defined.target, defined.policy()?)));
        Ok(Origins::new(&parsed.collect::<Result<Vec<_>, Error>>()?))
    }

    /// What is kept of the snapshots of `source`, as far as the policies can be parsed: see [`Policies::problems`].
    pub fn retention(&self, source: &Source) -> Retention {
        let hierarchy = self.hierarchy(source);
        let policies: Vec<&Policy> = hierarchy.iter().filter_map(|defined| defined.policy().ok()).collect();
        Policy::merge(&policies, false).retention()
    }

    /// What is wrong with policies that cannot be parsed.
    pub fn problems(&self) -> impl Iterator<Item = Error> {
        self.all.iter().filter_map(|defined| defined.policy().err())
    }
}

/// For whom the settings of an effective policy were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<&'static [&'static str], Source>);

impl Origins {
    /// From the policies that apply, the most specific one first.
    fn new(hierarchy: &[(&Source, &Policy)]) -> Self {
        let is_on = |policy: &Policy, flag| policy.values.get(flag) == Some(&PolicyValue::Flag(true));
        let origin = |field: &Field| {
            let mut origin = None;
            let mut stopped = false;
            for (target, policy) in hierarchy {
                if policy.values.contains_key(field.path) {
                    match field.rule {
                        // Kopia names the last one that has times of the day, even if they no longer count.
                        Rule::Times(_) => origin = Some(*target),
                        Rule::Added(_) if stopped => {}
                        Rule::Added(_) => origin = Some(*target),
                        _ => origin = origin.or(Some(*target)),
                    }
                }
                stopped |= field.rule.stopped_by().is_some_and(|flag| is_on(policy, flag));
                if policy.no_parent {
                    break;
                }
            }
            Some((field.path, origin?.clone()))
        };
        Self(FIELDS.iter().filter_map(origin).collect())
    }

    /// The target of the policy that makes the setting at this path what it is; everything, where none does.
    pub fn of(&self, path: &[&str]) -> Source {
        self.0.iter().find(|(known, _)| **known == path).map(|(_, target)| target.clone()).unwrap_or_default()
    }
}

/// Whether Kopia finds the policy when it looks for that of `target`.
fn is_for(defined: &DefinedPolicy, target: &Source) -> bool {
    let same_host = defined.target.host == target.host;
    let same_user = same_host && defined.target.user == target.user;
    match defined.kind.as_str() {
        "path" => !target.path.is_empty() && defined.target == *target,
        "user" => target.path.is_empty() && !target.user.is_empty() && same_user,
        "host" => target.path.is_empty() && target.user.is_empty() && !target.host.is_empty() && same_host,
        "global" => *target == Source::default(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
