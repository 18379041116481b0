//! The dead letters of `messaging`, in the form that the management routes need.

use std::sync::Arc;

use async_trait::async_trait;

use crate::api::admin::dead_letter_admin::{
    DeadLetter, DeadLetterAdmin, DeadLetterAdminError, DeadLetterId,
};
use crate::messaging::dead_letters::{self, DeadLetters, SendAgainError};
use crate::model::topic::Topic;
use crate::ports::bus::BusError;

/// The dead letter admin over `letters`.
pub(super) fn of(letters: DeadLetters) -> Arc<dyn DeadLetterAdmin> {
    Arc::new(DeadLetterAdapter(letters))
}

struct DeadLetterAdapter(DeadLetters);

#[async_trait]
impl DeadLetterAdmin for DeadLetterAdapter {
    async fn list(
        &self,
        topic: Option<&str>,
        from: Option<&DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterAdminError> {
        let topics = match topic {
            Some(name) => vec![parse(name)?],
            None => Topic::ALL.to_vec(),
        };
        let first = from.map(|from| parse(&from.topic)).transpose()?;
        let passed = |topic: &Topic| first.is_some_and(|first| first != *topic);
        let mut found = Vec::new();
        for topic in topics.into_iter().skip_while(passed) {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let place = from
                .filter(|_| first == Some(topic))
                .map(|from| (from.partition, from.offset));
            let letters = self.0.list(topic, place, left).await.map_err(away)?;
            found.extend(letters.into_iter().map(shown));
        }
        Ok(found)
    }

    async fn show(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, DeadLetterAdminError> {
        let letter = self
            .0
            .show(parse(&id.topic)?, id.partition, id.offset)
            .await;
        Ok(letter.map_err(away)?.map(shown))
    }

    async fn send_again(&self, id: &DeadLetterId) -> Result<(), DeadLetterAdminError> {
        let topic = parse(&id.topic)?;
        let sent = self.0.send_again(topic, id.partition, id.offset).await;
        sent.map_err(unsent)
    }
}

fn parse(name: &str) -> Result<Topic, DeadLetterAdminError> {
    Topic::parse(name).ok_or(DeadLetterAdminError::UnknownTopic)
}

fn away(error: BusError) -> DeadLetterAdminError {
    DeadLetterAdminError::Unavailable(error.into())
}

fn unsent(error: SendAgainError) -> DeadLetterAdminError {
    match error {
        SendAgainError::NotFound { .. } => DeadLetterAdminError::NotFound,
        SendAgainError::LeftOut => DeadLetterAdminError::LeftOut,
        SendAgainError::Read(_) | SendAgainError::Publish(_) => {
            DeadLetterAdminError::Unavailable(error.into())
        }
    }
}

fn shown(letter: dead_letters::DeadLetter) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId {
            topic: (&*letter.topic).into(),
            partition: letter.partition,
            offset: letter.offset,
        },
        origin: letter.origin,
        key: letter.key,
        code: letter.code,
        reason: letter.reason,
        group: letter.group,
        parked_at: letter.parked_at,
        sent_again: letter.sent_again,
        payload_left_out: letter.payload_left_out,
        headers: letter.headers,
        payload: letter.payload,
    }
}
