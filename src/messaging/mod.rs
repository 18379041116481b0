//! The consumer loop over the bus port: offsets, retries, dead letters.
