//! `OPERATOR/STATE` as a person writes it → the states that are meant.

use super::{InspectError, Snapshot, StateRef};

impl Snapshot {
    /// The states that `text` stands for: `OPERATOR/STATE`, `OPERATOR`, or the beginning of uids up to a `/` (a transform's name).
    /// An error names the nearest that there is.
    pub fn find(&self, text: &str) -> Result<Vec<StateRef<'_>>, InspectError> {
        let states = self.states();
        let long = |state: &&StateRef<'_>| {
            let address = format!("{}/operator/{}", state.operator.uid, state.name());
            state.descriptor().is_none() && address == text.trim_end_matches('/')
        };
        let addresses: Vec<String> = states.iter().map(StateRef::address).collect();
        let operators: Vec<&str> = self.manifest().operators.iter().map(|o| o.uid.as_str()).collect();
        match resolve(text, &addresses, &operators, &self.name()) {
            Ok(found) => Ok(found.into_iter().map(|at| states[at]).collect()),
            Err(error) => states.iter().find(long).map(|state| vec![*state]).ok_or(error),
        }
    }

    /// The one state that `text` stands for.
    pub fn find_one(&self, text: &str) -> Result<StateRef<'_>, InspectError> {
        match self.find(text)?.as_slice() {
            [state] => Ok(*state),
            several => {
                let names: Vec<String> = several.iter().map(StateRef::address).collect();
                Err(InspectError::asked(
                    format!("\"{text}\" stands for {} states", several.len()),
                    format!("give one of {}", names.join(", ")),
                ))
            }
        }
    }
}

/// The positions of those `addresses` (`OPERATOR/STATE`) that `text` stands for; at least one. `operators`: all uids. `whose`: what has
/// these states, for the message.
pub(super) fn resolve(text: &str, addresses: &[String], operators: &[&str], whose: &str) -> Result<Vec<usize>, InspectError> {
    let asked = text.trim_end_matches('/');
    let uid = |address: &String| address.rsplit_once('/').map_or(String::new(), |(uid, _)| uid.to_owned());
    let all = |wanted: &dyn Fn(&String) -> bool| -> Vec<usize> {
        addresses.iter().enumerate().filter(|(_, address)| wanted(address)).map(|(at, _)| at).collect()
    };
    let below = |address: &String| uid(address).strip_prefix(asked).is_some_and(|rest| rest.starts_with('/'));
    let searches: [&dyn Fn(&String) -> bool; 3] = [&|address| address == asked, &|address| uid(address) == asked, &below];
    if let Some(found) = searches.iter().map(|wanted| all(*wanted)).find(|found| !found.is_empty()) {
        return Ok(found);
    }
    if operators.contains(&asked) {
        return Err(InspectError::asked(format!("operator {asked} has no state in {whose}"), "`flink state ls PATH` shows what there is"));
    }
    let names = addresses.iter().map(String::as_str).chain(operators.iter().copied());
    let next = match nearest(asked, names) {
        Some(name) => format!("did you mean {name}?"),
        None if addresses.is_empty() => "it holds no state at all".to_owned(),
        None => format!("there are {}", listed(addresses)),
    };
    Err(InspectError::asked(format!("there is no operator or state \"{asked}\" in {whose}"), next))
}

/// The first of `names`, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The name that was probably meant: one that differs in few letters, else one that contains `wrong`, or that begins and ends like it.
pub(super) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    let lower = wrong.to_lowercase();
    let ends = |text: &str| Some((text.split('/').next()?.to_owned(), text.rsplit('/').next()?.to_owned()));
    let related = |name: &&str| {
        let name = name.to_lowercase();
        !lower.is_empty() && (name.contains(&lower) || (lower.contains('/') && ends(&lower) == ends(&name)))
    };
    crate::types::nearest(wrong, names.clone()).or_else(|| names.clone().find(related))
}
