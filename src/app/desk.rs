//! The dead letters of `messaging`, as the management routes want them.

use std::sync::Arc;

use async_trait::async_trait;
use trackops_domain::time::Timestamp;

use crate::api::admin::dead_letter_desk::{DeadLetter, DeadLetterDesk, DeadLetterId, DeskError};
use crate::codec::rfc3339;
use crate::codec::topics::Topic;
use crate::messaging::dead_letters::{self, DeadLetters, SendAgainError};
use crate::ports::bus::BusError;

/// The desk over `letters`.
pub(super) fn of(letters: DeadLetters) -> Arc<dyn DeadLetterDesk> {
    Arc::new(Desk(letters))
}

struct Desk(DeadLetters);

#[async_trait]
impl DeadLetterDesk for Desk {
    async fn list(&self, topic: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, DeskError> {
        let topics = match topic {
            Some(name) => vec![parse(name)?],
            None => Topic::ALL.to_vec(),
        };
        let mut found = Vec::new();
        for topic in topics {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            found.extend(
                self.0
                    .list(topic, None, left)
                    .await
                    .map_err(away)?
                    .into_iter()
                    .map(shown),
            );
        }
        Ok(found)
    }

    async fn show(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, DeskError> {
        let letter = self
            .0
            .show(parse(&id.topic)?, id.partition, id.offset)
            .await;
        Ok(letter.map_err(away)?.map(shown))
    }

    async fn send_again(&self, id: &DeadLetterId) -> Result<bool, DeskError> {
        match self
            .0
            .send_again(parse(&id.topic)?, id.partition, id.offset)
            .await
        {
            Ok(()) => Ok(true),
            Err(SendAgainError::NotFound { .. }) => Ok(false),
            Err(error) => Err(DeskError::Unavailable(error.into())),
        }
    }
}

fn parse(name: &str) -> Result<Topic, DeskError> {
    Topic::parse(name).ok_or(DeskError::UnknownTopic)
}

fn away(error: BusError) -> DeskError {
    DeskError::Unavailable(error.into())
}

fn shown(letter: dead_letters::DeadLetter) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId {
            topic: (&*letter.topic).into(),
            partition: letter.partition,
            offset: letter.offset,
        },
        key: letter.key,
        reason: format!("{}: {}", letter.code, letter.reason),
        parked_at: rfc3339::parse(&letter.parked_at).unwrap_or(Timestamp(0)),
        headers: letter.headers,
        payload: letter.payload,
    }
}
