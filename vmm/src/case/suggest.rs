//! What somebody most likely meant to write.

/// The entry of `candidates` that `typed` was most likely meant to be.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(typed, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`? Known: a, b, c", or only what is known.
pub fn suggest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let known = candidates.clone().into_iter().collect::<Vec<_>>().join(", ");
    match nearest(typed, candidates) {
        Some(candidate) => format!("did you mean `{candidate}`? Known are: {known}"),
        None => format!("known are: {known}"),
    }
}
