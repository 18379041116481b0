//! TrackOps: one supervised actor per live order, journalled, published and watched live.
//! Modules in reading order.

pub mod app;
pub mod config;
pub mod faults;
pub mod telemetry;

pub mod codec;
pub mod model;
pub mod ports;

pub mod actors;
pub mod auth;
pub mod inventory;
pub mod limits;
pub mod live;
pub mod messaging;
pub mod outbox;
pub mod retention;
pub mod router;

pub mod api;
pub mod cli;
pub mod demo;

pub mod embedded;
pub mod kafka;
pub mod postgres;
pub mod redis;
