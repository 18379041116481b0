//! TrackOps.
