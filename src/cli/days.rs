//! Numbers of days on the command line.

/// A century: no row is older.
const DAYS_MAX: u32 = 36_500;

/// Reads `90d` as 90.
pub fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text).parse::<u32>();
    match number {
        Ok(days) if (1..=DAYS_MAX).contains(&days) => Ok(days),
        _ => Err(format!(
            "days from 1d to {DAYS_MAX}d are expected, as in 90d"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_at_least_one() {
        assert_eq!(days("90d"), Ok(90));
        assert_eq!(days("1"), Ok(1));
        for wrong in ["0d", "", "d", "-1d", "1.5d", "90h", "99999999d"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }
}
