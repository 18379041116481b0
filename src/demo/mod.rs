//! The small shop behind `dev --demo`.
