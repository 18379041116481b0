//! The Prometheus text of a role, read far enough for sums and histograms.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::Role;
use crate::http::{Connection, get};
use crate::numbers::to_u64;

/// One reading of `/metrics`.
pub struct Metrics(Vec<Sample>);

struct Sample {
    name: String,
    labels: String,
    value: f64,
}

/// A histogram's cumulative buckets: upper bound and count, summed over labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

impl Metrics {
    /// Reads the metrics of `role`.
    pub async fn read(role: &Role) -> Result<Self> {
        let mut connection = Connection::new(role.management);
        let response = connection.call(&get(role.management, "/metrics")).await?;
        ensure!(
            response.status == 200,
            "/metrics of {} answers {}",
            role.name,
            response.status
        );
        Ok(Self::parse(&String::from_utf8_lossy(response.body)))
    }

    /// Reads the text form; lines that it doesn't understand are left out.
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(parse_line)
                .collect(),
        )
    }

    /// The sum of `name` over all labels; `None` if there is no such sample.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self
            .0
            .iter()
            .filter(|sample| sample.name == name)
            .map(|sample| sample.value);
        let first = values.next()?;
        Some(values.fold(first, |sum, value| sum + value))
    }

    /// The sum of `name` over the series that have `label`, such as `to="CONFIRMED"`; 0 if none has.
    pub fn labelled(&self, name: &str, label: &str) -> f64 {
        let series = self.0.iter().filter(|sample| sample.name == name);
        series
            .filter(|sample| sample.labels.contains(label))
            .map(|sample| sample.value)
            .sum()
    }

    /// The mean of what came since `before` in each histogram whose name contains `part`, by its name and
    /// labels; those in which nothing came are left out.
    pub fn means_since(&self, before: &Self, part: &str) -> BTreeMap<String, f64> {
        let counts = self.0.iter().filter_map(|sample| {
            let name = sample.name.strip_suffix("_count")?;
            name.contains(part)
                .then_some((name, sample.labels.as_str()))
        });
        counts
            .filter_map(|(name, labels)| {
                let grown = |suffix: &str| {
                    let of = |metrics: &Self| metrics.value(&format!("{name}{suffix}"), labels);
                    of(self).unwrap_or(0.0) - of(before).unwrap_or(0.0)
                };
                let count = grown("_count");
                (count > 0.0).then(|| (series(name, labels), grown("_sum") / count))
            })
            .collect()
    }

    fn value(&self, name: &str, labels: &str) -> Option<f64> {
        let found = self
            .0
            .iter()
            .find(|sample| sample.name == name && sample.labels == labels);
        found.map(|sample| sample.value)
    }

    /// The buckets of histogram `name`.
    pub fn buckets(&self, name: &str) -> Buckets {
        let wanted = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.name == wanted) {
            let Some(bound) = upper_bound(&sample.labels) else {
                continue;
            };
            match buckets
                .iter_mut()
                .find(|(known, _)| known.total_cmp(&bound).is_eq())
            {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        Buckets(buckets)
    }
}

impl Buckets {
    /// What came between `before` and this reading.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |bound: f64| {
            before
                .0
                .iter()
                .find(|(known, _)| known.total_cmp(&bound).is_eq())
                .map_or(0.0, |pair| pair.1)
        };
        Self(
            self.0
                .iter()
                .map(|(bound, count)| (*bound, count - earlier(*bound)))
                .collect(),
        )
    }

    /// Both readings together.
    pub fn plus(&self, other: &Self) -> Self {
        if self.0.is_empty() {
            return other.clone();
        }
        let added = |bound: f64| {
            other
                .0
                .iter()
                .find(|(known, _)| known.total_cmp(&bound).is_eq())
                .map_or(0.0, |pair| pair.1)
        };
        Self(
            self.0
                .iter()
                .map(|(bound, count)| (*bound, count + added(*bound)))
                .collect(),
        )
    }

    /// How many observations.
    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| to_u64(*count))
    }

    /// The upper bound of the highest bucket that has an observation; `None` if empty.
    pub fn longest(&self) -> Option<f64> {
        let most = self.0.last()?.1;
        let reached = self.0.iter().find(|(_, count)| *count >= most);
        reached.filter(|_| most > 0.0).map(|(bound, _)| *bound)
    }

    /// Quantile `q`, linear within its bucket (as Prometheus does it); `None` if empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = self.0.last()?.1 * q;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted && *count > below {
                let share = (wanted - below) / (count - below);
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * share
                } else {
                    lower
                });
            }
            (lower, below) = (*bound, *count);
        }
        None
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let (series, value) = match line.rfind('}') {
        Some(end) => (&line[..=end], line[end + 1..].split_whitespace().next()?),
        None => line.split_once(' ')?,
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some(Sample {
        name: name.to_owned(),
        labels: labels.to_owned(),
        value: value.trim().parse().ok()?,
    })
}

/// A series as a person writes it.
fn series(name: &str, labels: &str) -> String {
    if labels.is_empty() {
        name.to_owned()
    } else {
        // The parser has left the closing brace.
        format!("{name}{{{labels}")
    }
}

fn upper_bound(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    rest.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE t_live gauge\nt_live{shard=\"1\"} 2\nt_live{shard=\"2\"} 3\nup 1\n\
        t_seconds_bucket{a=\"x\",le=\"0.1\"} 50\nt_seconds_bucket{a=\"x\",le=\"0.2\"} 100\n\
        t_seconds_bucket{a=\"x\",le=\"+Inf\"} 100\nt_seconds_sum{a=\"x\"} 9.5\n";

    #[test]
    fn means_are_of_what_came_in_between() {
        let text = |count, sum| {
            format!(
                "a_batch_size_sum {sum}\na_batch_size_count {count}\nb_seconds_count 1\n\
                c_batch_rows_sum{{stage=\"fetch\"}} 9\nc_batch_rows_count{{stage=\"fetch\"}} 3\n"
            )
        };
        let before = Metrics::parse(&text(10, 40));
        let after = Metrics::parse(&text(12, 60));
        let fresh = Metrics::parse("");
        let expected = BTreeMap::from([("a_batch_size".to_owned(), 10.0)]);
        assert_eq!(after.means_since(&before, "_batch"), expected);
        let all = after.means_since(&fresh, "_batch");
        assert_eq!(all.get("c_batch_rows{stage=\"fetch\"}"), Some(&3.0));
        assert!((after.labelled("c_batch_rows_sum", "stage=\"fetch\"") - 9.0).abs() < 1e-9);
    }

    #[test]
    fn sums_and_histograms() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("t_live"), Some(5.0));
        assert_eq!(metrics.sum("t_seconds_sum"), Some(9.5));
        assert_eq!(metrics.sum("absent"), None);
        let buckets = metrics.buckets("t_seconds");
        assert_eq!(buckets.count(), 100);
        assert!((buckets.quantile(0.75).expect("not empty") - 0.15).abs() < 1e-9);
        assert_eq!(buckets.plus(&buckets).count(), 200);
        assert_eq!(buckets.longest(), Some(0.2));
        assert_eq!(buckets.since(&buckets).longest(), None);
        assert_eq!(buckets.since(&buckets).quantile(0.5), None);
        assert_eq!(metrics.buckets("absent"), Buckets::default());
    }
}
