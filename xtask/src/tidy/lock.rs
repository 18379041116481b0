//! The rule that dependencies come from the registry only: a build needs no other network, and no branch can
//! change under us.

use super::finding::Finding;

/// Finds git sources in `Cargo.lock`.
pub fn check(lock: &str) -> Vec<Finding> {
    let lines = lock.lines().enumerate();
    let git = lines.filter(|(_, line)| line.starts_with("source = \"git+"));
    git.map(|(index, line)| Finding {
        path: "Cargo.lock".to_owned(),
        line: index + 1,
        message: format!("{line}: a dependency by git, take one from the registry"),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_git_is_refused() {
        let lock =
            "[[package]]\nsource = \"registry+x\"\n[[package]]\nsource = \"git+https://x\"\n";
        assert_eq!(
            check(lock)
                .iter()
                .map(|finding| finding.line)
                .collect::<Vec<_>>(),
            [4]
        );
    }
}
