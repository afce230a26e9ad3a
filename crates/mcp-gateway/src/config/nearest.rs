//! The name that was probably meant.

/// A hint: the nearest of the known names, or all of them. Never repeats what was written, unless it is
/// nearly a known name.
pub(super) fn nearest<S: AsRef<str>>(written: &str, known: &[S]) -> String {
    let written = written.to_lowercase();
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.as_ref().to_lowercase()), name.as_ref()))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min();
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "nothing may stand here".to_owned(),
        None => {
            let mut names: Vec<_> = known.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            names.sort();
            format!("known are {}", names.join(", "))
        }
    }
}
