//! The inventory role: stock requests from the bus to the ledger.
