//! `OPERATOR/STATE` as a person writes it → the states that are meant.

use super::{InspectError, Snapshot, StateRef};

impl Snapshot {
    /// The states that `text` stands for: `OPERATOR/STATE`, `OPERATOR`, or the beginning of uids up to a `/` (a transform's name).
    /// An error names the nearest that there is.
    pub fn find(&self, text: &str) -> Result<Vec<StateRef<'_>>, InspectError> {
        let states = self.states();
        let asked = text.trim_end_matches('/');
        let address =
            |state: &StateRef<'_>| state.address() == asked || format!("{}/operator/{}", state.operator.uid, state.name()) == asked;
        let own = states.iter().copied().find(|s| s.address() == asked);
        if let Some(state) = own.or_else(|| states.iter().copied().find(|s| s.descriptor().is_none() && address(s))) {
            return Ok(vec![state]);
        }
        let of_operator: Vec<StateRef<'_>> = states.iter().copied().filter(|s| s.operator.uid.as_str() == asked).collect();
        if !of_operator.is_empty() {
            return Ok(of_operator);
        }
        let below = |uid: &str| uid.strip_prefix(asked).is_some_and(|rest| rest.starts_with('/'));
        let found: Vec<StateRef<'_>> = states.iter().copied().filter(|s| below(s.operator.uid.as_str())).collect();
        if found.is_empty() { Err(self.unknown(asked, &states)) } else { Ok(found) }
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

    fn unknown(&self, asked: &str, states: &[StateRef<'_>]) -> InspectError {
        let operators = &self.manifest().operators;
        if operators.iter().any(|o| o.uid.as_str() == asked) {
            return InspectError::asked(
                format!("operator {asked} has no state in {}", self.name()),
                "`flink state ls PATH` shows what there is",
            );
        }
        let addresses: Vec<String> = states.iter().map(StateRef::address).collect();
        let names = addresses.iter().map(String::as_str).chain(operators.iter().map(|o| o.uid.as_str()));
        let next = match nearest(asked, names) {
            Some(name) => format!("did you mean {name}?"),
            None if addresses.is_empty() => "it holds no state at all".to_owned(),
            None => format!("there are {}", listed(&addresses)),
        };
        InspectError::asked(format!("there is no operator or state \"{asked}\" in {}", self.name()), next)
    }
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
