//! What somebody may have meant who mistyped a name.

use super::catalogue::SETTINGS;

/// Names that are longer are not compared: no setting's name is.
const NAME_LEN_MAX: usize = 64;

/// The variable most like this one.
pub fn variable_like(name: &str) -> Option<&'static str> {
    SETTINGS
        .iter()
        .map(|setting| (distance(name, setting.variable), setting.variable))
        .min()
        .filter(|(distance, _)| is_near(*distance, name))
        .map(|(_, variable)| variable)
}

/// The name most like this one, as the settings file spells it; a variable's full name stands for it, too.
pub fn name_like(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("suiftly_").unwrap_or(&name);
    SETTINGS
        .iter()
        .map(|setting| setting.name())
        .map(|known| (distance(name, &known), known))
        .min()
        .filter(|(distance, _)| is_near(*distance, name))
        .map(|(_, known)| known)
}

/// Beyond a third of its letters it is a guess and no help.
fn is_near(distance: usize, name: &str) -> bool {
    name.len() <= NAME_LEN_MAX && distance <= (name.len() / 3).max(1)
}

/// How many letters must be changed, added, left out, or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    if a.len() > NAME_LEN_MAX {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let mut best = at(&above, column) + usize::from(letter != other);
            best = best.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            let swapped =
                row > 0 && column > 0 && a.get(row - 1) == Some(other) && b.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    at(&above, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_finds_its_neighbour_and_a_foreign_one_none() {
        assert_eq!(variable_like("SUIFTLY_API_PROT"), Some("SUIFTLY_API_PORT"));
        assert_eq!(variable_like("SUIFTLY_EDGE_CRT"), Some("SUIFTLY_EDGE_CERT"));
        assert_eq!(name_like("api_prot"), Some("api_port".to_owned()));
        assert_eq!(name_like("SUIFTLY_API_PROT"), Some("api_port".to_owned()));
        assert_eq!(name_like("databse_url"), Some("database_url".to_owned()));
        assert_eq!(name_like("colour"), None);
        assert_eq!(name_like(&"a".repeat(100_000)), None);
        assert_eq!((distance("ab", "ba"), distance("abc", "ac"), distance("", "abc")), (1, 1, 3));
    }
}
