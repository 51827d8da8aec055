//! How long ago something was, as a person says it.

/// Of each unit: how many seconds it has, and from how many of them on it is told.
const UNITS: [(u64, &str); 4] = [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")];

/// Two of a unit at least, so that no number is less exact than by half.
pub(super) fn ago(seconds: u64) -> String {
    let fits = |(length, _): &&(u64, &str)| seconds >= 2 * length;
    let (length, unit) = UNITS.iter().find(fits).unwrap_or(&(1, "s"));
    format!("{} {unit} ago", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_largest_unit_of_which_there_are_two() {
        let told = [0, 59, 119, 120, 7_199, 7_200, 172_799, 172_800, 90 * 86_400].map(ago);
        let wanted = [
            "0 s ago",
            "59 s ago",
            "119 s ago",
            "2 min ago",
            "119 min ago",
            "2 h ago",
            "47 h ago",
            "2 days ago",
            "90 days ago",
        ];
        assert_eq!(told, wanted);
    }
}
