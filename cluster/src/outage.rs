//! Tells why something is away. Leaves when to tell it to [`crate::repeated`].

use std::error::Error;

/// An error and all its causes, in one line.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn every_cause_is_told() {
        let root = Failed("refused", None);
        assert_eq!(causes(&root), "refused");
        let middle = Failed("can't connect", Some(Box::new(root)));
        let error = Failed("not renewed", Some(Box::new(middle)));
        assert_eq!(causes(&error), "not renewed: can't connect: refused");
    }
}
