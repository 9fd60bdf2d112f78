//! What a packet must have beside a right form: a known sender, and a signature that is not an old one.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

use super::super::packet::{Advert, DropReason};
use super::super::sign;
use super::Group;

impl Group {
    /// Looks at who sent a packet, and when it was signed.
    pub(super) fn authentic(
        &mut self,
        now: Time,
        index: usize,
        received: Result<(Advert, Option<u64>), DropReason>,
        source: IpAddr,
    ) -> Result<Advert, DropReason> {
        let (advert, signed_at) = received?;
        let Some(router) = self.routers.get_mut(index) else { return Ok(advert) };
        let is_strict = self.unicast.is_some_and(|unicast| unicast.check_source);
        if is_strict && !router.settings.peers.iter().any(|peer| peer.source == source) {
            return Err(DropReason::Stranger);
        }
        if let (Some(signing), Some(signed_at)) = (&self.signing, signed_at) {
            router.heard.take(source, signed_at, signing.wall + now.since(Time::ZERO))?;
        }
        Ok(advert)
    }

    pub(super) fn on_source(&mut self, index: usize, source: IpAddr) {
        if let Some(router) = self.routers.get_mut(index) {
            router.settings.source = source;
        }
    }

    /// A peer that still signs with a key that is gone is not understood any more: keys are taken away last.
    pub(super) fn on_keys(&mut self, keys: &[sign::Key]) {
        if let (Some(signing), false) = (&mut self.signing, keys.is_empty()) {
            signing.keys = keys.to_vec();
        }
    }

    pub(super) fn on_wall(&mut self, wall: Duration) {
        if let Some(signing) = &mut self.signing {
            signing.wall = wall;
        }
    }
}
