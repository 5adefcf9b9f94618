//! "Did you mean …?"

/// The name among `names` that was probably meant by `wrong`: one that ends in it, else one that differs in few letters.
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = wrong.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        let candidate = name.to_lowercase();
        let distance = if candidate.strip_suffix(lower.as_str()).is_some_and(|rest| rest.ends_with('.')) {
            1
        } else {
            strsim::damerau_levenshtein(&lower, &candidate)
        };
        // A third of the letters may be wrong, as rustc has it.
        let allowed = (lower.chars().count().max(candidate.chars().count()) / 3).max(1);
        // Nothing in common is no resemblance, however short the names are.
        let common = distance < lower.chars().count();
        if common && distance <= allowed && best.is_none_or(|(found, _)| distance < found) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}
