//! What operations sees and does, under `/admin/v1` of the management listener.

pub mod dead_letter_desk;
