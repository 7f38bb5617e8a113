//! Numbers of things in sentences.

/// `1 file`, `2 files`, `1 copy`, `2 copies`, `2 days`.
pub fn count(number: u64, one: &str) -> String {
    if number == 1 {
        return format!("1 {one}");
    }
    match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let said = [count(0, "file"), count(1, "entry"), count(2, "entry"), count(3, "more shard")];
        assert_eq!(count(2, "day"), "2 days");
        assert_eq!(said, ["0 files", "1 entry", "2 entries", "3 more shards"]);
    }
}
