//! How a figure stands to its aim. Leaves the aims to the parts.

/// How a figure stands to what it should be at most.
pub fn aim(figure: f64, at_most: f64, unit: &str) -> String {
    let how = if figure <= at_most { "met" } else { "MISSED" };
    format!("aim: at most {at_most} {unit}, {how}")
}
