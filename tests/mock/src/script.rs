//! What goes wrong when: [`Script`] and [`Rule`].

use std::collections::BTreeMap;

use cxone_sim::{LimitSpec, SpecError};
use http::Method;
use serde::{Deserialize, Serialize};

use crate::{
    TOKEN_PATH,
    fault::{Fault, one_or_many},
    interactions::PageFault,
    is_sign_in,
};

/// A change of what the mock does. In JSON, all parts may be left out:
///
/// ```json
/// {
///   "clear": true,
///   "rules": [{"on": "/oauth2/token", "times": 2, "do": {"status": 503}}],
///   "pages": {"3": "loop"},
///   "revoke_tokens": true,
///   "revoke_after": 10,
///   "limits": {"": "fixed:5/1s", "/media-playback": null}
/// }
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    pub(crate) clear: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) pages: BTreeMap<u64, PageFault>,
    pub(crate) revoke_tokens: bool,
    pub(crate) revoke_after: Option<u64>,
    pub(crate) limits: BTreeMap<String, Option<SpecText>>,
}

impl Script {
    /// A script that changes nothing yet.
    pub fn new() -> Script {
        Script::default()
    }

    /// First drops all earlier rules, page faults and a pending revocation.
    pub fn clear(mut self) -> Script {
        self.clear = true;
        self
    }

    /// Adds a rule after the earlier ones.
    pub fn rule(mut self, rule: Rule) -> Script {
        self.rules.push(rule);
        self
    }

    /// Serves page `number` of the interactions, counted from 1, with a fault each time.
    pub fn page(mut self, number: u64, fault: PageFault) -> Script {
        self.pages.insert(number, fault);
        self
    }

    /// Revokes all tokens issued so far.
    pub fn revoke_tokens(mut self) -> Script {
        self.revoke_tokens = true;
        self
    }

    /// Revokes all tokens once so many more API requests have been let in.
    pub fn revoke_after(mut self, requests: u64) -> Script {
        self.revoke_after = Some(requests);
        self
    }

    /// Changes or lifts a limit: of all API paths together (`""`) or of those under a prefix.
    pub fn limit(mut self, prefix: impl Into<String>, spec: Option<LimitSpec>) -> Script {
        self.limits.insert(prefix.into(), spec.map(SpecText));
        self
    }
}

impl From<Rule> for Script {
    fn from(rule: Rule) -> Script {
        Script::new().rule(rule)
    }
}

/// When to serve which fault.
///
/// A rule counts every request that it matches from the moment it is added. It acts from the
/// `nth` of them on, `times` times, taking its faults in turn. If several rules would act on one
/// request the oldest does, and the others keep their turn for the next one.
///
/// In JSON `do` is one fault or a list; `on` is a path prefix, and without it a rule matches
/// every API request:
///
/// ```json
/// {"on": "/api/v2.0/interactions", "method": "GET", "nth": 5, "times": 3, "do": {"status": 503}}
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    on: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default = "first")]
    nth: u64,
    #[serde(default)]
    times: Option<u64>,
    #[serde(rename = "do", deserialize_with = "one_or_many")]
    faults: Vec<Fault>,
}

impl Rule {
    /// Acts on API requests: on everything but signing in.
    pub fn api(faults: impl Into<Vec<Fault>>) -> Rule {
        Rule { on: None, method: None, nth: 1, times: None, faults: faults.into() }
    }

    /// Acts on requests to the gateway's token endpoint.
    pub fn token(faults: impl Into<Vec<Fault>>) -> Rule {
        Rule::on(TOKEN_PATH, faults)
    }

    /// Acts on requests whose path begins so.
    pub fn on(prefix: impl Into<String>, faults: impl Into<Vec<Fault>>) -> Rule {
        Rule { on: Some(prefix.into()), ..Rule::api(faults) }
    }

    /// Acts only on requests with this method.
    pub fn method(mut self, method: impl Into<String>) -> Rule {
        self.method = Some(method.into());
        self
    }

    /// Acts from the nth matching request on, counted from 1; the default is 1.
    pub fn nth(mut self, nth: u64) -> Rule {
        self.nth = nth;
        self
    }

    /// Acts so many times; the default is once for each fault given.
    pub fn times(mut self, times: u64) -> Rule {
        self.times = Some(times);
        self
    }

    /// Acts until the script is cleared.
    pub fn forever(self) -> Rule {
        self.times(u64::MAX)
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        let path_matches = match &self.on {
            Some(prefix) => path.starts_with(prefix),
            None => !is_sign_in(path),
        };
        path_matches && self.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method.as_str()))
    }
}

/// The rules in force, with their counts.
#[derive(Default)]
pub(crate) struct Rules {
    active: Vec<Active>,
}

struct Active {
    rule: Rule,
    seen: u64,
    acted: u64,
}

impl Rules {
    pub(crate) fn add(&mut self, rules: Vec<Rule>) {
        self.active.extend(rules.into_iter().map(|rule| Active { rule, seen: 0, acted: 0 }));
    }

    /// Counts a request and gives the fault to serve to it, if any.
    pub(crate) fn next(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let mut fault = None;
        for Active { rule, seen, acted } in &mut self.active {
            if !rule.matches(method, path) {
                continue;
            }
            *seen += 1;
            let count = rule.faults.len() as u64;
            let due = *seen >= rule.nth && *acted < rule.times.unwrap_or(count) && count > 0;
            if due && fault.is_none() {
                fault = Some(rule.faults[(*acted % count) as usize].clone());
                *acted += 1;
            }
        }
        self.active.retain(|a| a.acted < a.rule.times.unwrap_or(a.rule.faults.len() as u64));
        fault
    }
}

/// A [`LimitSpec`] in its text form.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct SpecText(pub(crate) LimitSpec);

impl TryFrom<String> for SpecText {
    type Error = SpecError;

    fn try_from(text: String) -> Result<SpecText, SpecError> {
        text.parse().map(SpecText)
    }
}

impl From<SpecText> for String {
    fn from(spec: SpecText) -> String {
        spec.0.to_string()
    }
}

fn first() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn statuses(rules: &mut Rules, path: &str, requests: usize) -> Vec<Option<u16>> {
        let next =
            |_| rules.next(&Method::GET, path).map(|fault| fault.answer().unwrap().status.as_u16());
        (0..requests).map(next).collect()
    }

    #[test]
    fn a_rule_acts_from_the_nth_on_and_takes_its_faults_in_turn() {
        let mut rules = Rules::default();
        rules.add(vec![Rule::api(Fault::staggered(503, [1, 2])).nth(2).times(3)]);
        let fives = Some(503);
        assert_eq!(statuses(&mut rules, "/api", 6), [None, fives, fives, fives, None, None]);
    }

    #[test]
    fn rules_that_fall_together_take_turns() {
        let mut rules = Rules::default();
        rules.add(vec![Rule::api(Fault::status(503)).times(2), Rule::api(Fault::status(401))]);
        assert_eq!(statuses(&mut rules, "/api", 4), [Some(503), Some(503), Some(401), None]);
    }

    #[test]
    fn rules_for_the_api_leave_the_token_endpoint_alone() {
        let mut rules = Rules::default();
        rules.add(vec![Rule::api(Fault::status(500)), Rule::token(Fault::status(503))]);
        assert_eq!(statuses(&mut rules, TOKEN_PATH, 2), [Some(503), None]);
        assert_eq!(statuses(&mut rules, "/api", 2), [Some(500), None]);
    }

    #[test]
    fn json_takes_one_fault_or_a_list_and_refuses_typing_errors() {
        let read = |text: &str| serde_json::from_str::<Script>(text);
        assert!(read(r#"{"rules": [{"do": {"connection": "reset"}}]}"#).is_ok());
        assert!(read(r#"{"rules": [{"do": [{"status": 429}, {"status": 503}]}]}"#).is_ok());
        assert!(read(r#"{"rules": [{"does": {}}]}"#).is_err());
        assert!(read(r#"{"rules": [{"do": {"statuss": 429}}]}"#).is_err());
        assert!(read(r#"{"limits": {"": "often"}}"#).unwrap_err().to_string().contains("fixed:"));
    }

    #[test]
    fn a_script_survives_the_way_through_json() {
        let script = Script::new()
            .clear()
            .rule(Rule::token(Fault::slow_body(Duration::from_millis(5))).method("post").forever())
            .page(2, PageFault::MissingEntities)
            .revoke_after(3)
            .limit("/x", Some("leaky:1/1s+0".parse().unwrap()))
            .limit("", None);
        let text = serde_json::to_string(&script).unwrap();
        let back: Script = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
