//! Links of services, which are held to the credential that they came with.

use super::address::{Audience, Place};
use super::condition;
use super::driver::{Driver, Link};
use model::Credential;

impl Driver<'_> {
    /// Ends the links of who may not go on; the others get what they have credit for.
    pub(super) async fn look_at_links(&mut self) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            let stands = match self.links.get_mut(&link) {
                Some(Link::ServiceSend(held)) => held.stands(self.env).await,
                Some(Link::Queue(queue)) => queue.held.stands(self.env).await,
                Some(Link::Events(events)) => events.reader.stands(self.env).await,
                Some(Link::EventSend(it)) => it.sender.stands(self.env).await,
                Some(Link::BusSend(it)) => it.sender.link().stands(self.env).await,
                Some(Link::BusQueue(it)) => it.receiver.stands(self.env).await,
                _ => Ok(()),
            };
            match stands {
                Ok(()) => self.pump(link).await,
                Err(ended) => self.drop_link(link, condition::of_end(&ended)).await,
            }
        }
    }

    /// Services and readers that the credential is for go on by it, where it lets them.
    pub(super) async fn renew(&mut self, audience: &Audience, credential: &Credential) {
        for it in self.links.values_mut() {
            let renewed = match it {
                Link::ServiceSend(held) if audience.covers(&Place::ServiceSend.path()) => {
                    held.renew(self.env, credential.clone()).await
                }
                Link::Queue(queue) if audience.covers(&queue.path) => {
                    queue.held.renew(self.env, credential.clone()).await
                }
                Link::Events(events) if audience.covers(&events.path) => {
                    events.reader.renew(self.env, credential.clone()).await
                }
                Link::EventSend(it) if audience.covers(&it.path) => {
                    it.sender.renew(self.env, credential.clone()).await
                }
                Link::BusSend(it) if audience.covers(&it.path) => {
                    it.sender.link().renew(self.env, credential.clone()).await
                }
                Link::BusQueue(it) if audience.covers(&it.path) => {
                    it.receiver.renew(self.env, credential.clone()).await
                }
                _ => continue,
            };
            // Whom the new one does not let go on goes on by the former, to the end of that.
            drop(renewed);
        }
    }
}
