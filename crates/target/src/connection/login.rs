//! Logins: who may come in, and what happens to the session that was there before.

use std::net::SocketAddr;

use iscsi::{LoginGrant, LoginInfo, LoginStatus, SessionType, TargetAuth, TargetRecord};
use scsi::AdditionalSense;

use super::{Attached, Connection, Stop, io};

impl Connection<'_> {
    /// Decides about a login.
    pub(super) fn judge(&mut self, info: &LoginInfo) -> Result<(), Stop> {
        match self.grant(info) {
            Ok(grant) => Ok(self.engine.grant(grant)?),
            Err(status) => {
                tracing::warn!(peer = %self.peer, initiator = %info.initiator_name, %status, "login refused");
                self.engine.refuse(status, None);
                self.closing = true;
                Ok(())
            }
        }
    }

    fn grant(&mut self, info: &LoginInfo) -> Result<LoginGrant, LoginStatus> {
        let sessions = &self.shared.sessions;
        if info.tsih != 0 {
            return Err(match sessions.has_tsih(info.tsih) {
                true => LoginStatus::TOO_MANY_CONNECTIONS,
                false => LoginStatus::NO_SESSION,
            });
        }
        let auth = match info.session_type {
            // Who may log in proves itself there; a name and addresses are no secret, and an initiator that is not
            // allowed is told of nothing (see `send_targets`).
            SessionType::Discovery => TargetAuth::None,
            SessionType::Normal => {
                let target = info.target_name.as_deref().unwrap_or_default();
                if !target.eq_ignore_ascii_case(&self.shared.iqn) {
                    return Err(LoginStatus::NOT_FOUND);
                }
                if !self.shared.access.allows(&info.initiator_name) {
                    return Err(LoginStatus::FORBIDDEN);
                }
                self.shared.access.auth()
            }
        };
        let tsih = sessions.take_tsih().ok_or(LoginStatus::OUT_OF_RESOURCES)?;
        if let Some(before) = self.tsih.replace(tsih) {
            sessions.free_tsih(before);
        }
        Ok(LoginGrant { tsih, auth, target_alias: self.shared.alias.clone() })
    }

    /// A login is complete: the predecessor ends, and only then the new session begins.
    pub(super) async fn logged_in(&mut self, info: &LoginInfo, wire: &mut io::Wire) -> Result<(), Stop> {
        self.initiator.clone_from(&info.initiator_name);
        if info.session_type == SessionType::Discovery {
            tracing::debug!(peer = %self.peer, initiator = %info.initiator_name, "discovery");
            return Ok(());
        }
        let (session, old) = self.shared.sessions.enter(self.id, &self.end, &info.initiator_name, info.isid);
        self.session = Some(session.clone());
        let mut first = AdditionalSense::POWER_ON_OR_RESET;
        if let Some(old) = old {
            first = AdditionalSense::NEXUS_LOSS;
            old.ask_to_end();
            // The last answer of the login has not been sent: the initiator waits for it, or gives up by itself.
            let ended = tokio::time::timeout(self.shared.login_timeout, old.ended()).await;
            if ended.is_err() {
                tracing::warn!(peer = %self.peer, initiator = %info.initiator_name,
                    "the session before this one does not end: its disk requests hang");
                return Err(Stop::Asked);
            }
        }
        self.units = self
            .shared
            .luns
            .iter()
            .map(|unit| Attached { unit, nexus: unit.attach(session.id, first) })
            .collect();
        wire.grow();
        tracing::info!(peer = %self.peer, initiator = %info.initiator_name, isid = %info.isid, "logged in");
        Ok(())
    }

    /// SendTargets. A target that would not let this initiator in is not there for it.
    pub(super) fn send_targets(&mut self, which: &str) {
        let iqn = &self.shared.iqn;
        let allowed = self.shared.access.allows(&self.initiator);
        let asked = which.is_empty() || which == "All" || which.eq_ignore_ascii_case(iqn);
        let records = if allowed && asked {
            let addresses = self
                .shared
                .portals
                .iter()
                .map(|portal| {
                    let ip = self.local.filter(|_| portal.ip().is_unspecified()).unwrap_or(portal.ip());
                    format!("{},{}", SocketAddr::new(ip, portal.port()), self.shared.tag)
                })
                .collect();
            vec![TargetRecord { name: iqn.clone(), addresses }]
        } else {
            Vec::new()
        };
        self.engine.targets(&records);
    }
}
