//! What fails: processes, servers, disks, what is between them; and checks that can go red.

mod disk_full;
mod flood;
mod kill;
mod kill_dev;
mod nginx;
mod outage;
mod poolers;
mod quarantine;
mod recovery;
mod red;
mod relays;
mod tampering;
