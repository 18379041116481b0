//! The registry of listeners and what each of them lacks.
