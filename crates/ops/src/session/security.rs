//! How a session keeps its device to its security policy: what the last gate looks at, and when it is asked.

use super::{Ended, Session, ended};
use crate::devices::presence::{Interest, Interests};
use crate::env::Env;
use gate::Facts;
use model::Op;
use model::operations::operation;

/// What a device can hear, and the operation by which it does.
pub(super) const INTERESTS: [(Interest, Op); 3] = [
    (Interest::Messages, Op::ReceiveMessages),
    (Interest::Methods, Op::ReceiveMethods),
    (Interest::Desired, Op::ReceiveDesired),
];

impl Session {
    /// Proves the device anew. Where a security policy limits it, it must still be allowed to hear what it hears: the
    /// policy may be what has changed.
    pub(super) async fn prove_and_judge(&mut self, env: &Env, facts: &Facts) -> Result<(), Ended> {
        self.prove(env, facts).await.map_err(ended)?;
        if self.head.channel.security.is_none() {
            return Ok(());
        }
        let hears = Interests(self.hears);
        for (_, op) in INTERESTS.into_iter().filter(|(it, _)| hears.has(*it)) {
            self.permit(env, facts, operation(op)).await?;
        }
        Ok(())
    }

    /// Counts messages of the device that its security policy limits: the count is what the last gate looks at.
    pub(super) fn count_messages(&mut self, env: &Env, messages: usize) {
        let limited = self.head.channel.security.as_mut();
        if let Some(secured) = limited.filter(|it| it.policy.max_messages_per_minute.is_some()) {
            let (hub, device) = (&self.hub, &self.named.device);
            let sent = env.message_rates.count(hub, device, messages, self.head.time);
            secured.messages_in_minute = Some(sent);
        }
    }
}
