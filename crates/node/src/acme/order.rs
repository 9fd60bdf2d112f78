//! One order: account, proofs, certificate (RFC 8555 section 7).

use std::io;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use relevo_lb::{AcmeDesk, TlsError};
use relevo_model::cluster::{Acme, Challenge};

use super::store::Store;
use super::transport::Transport;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority, or the way there.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    /// The authorities of its own certificate cannot be had.
    #[error("the way to the authority cannot be made: {0}")]
    Ca(#[source] io::Error),
    /// It does not offer the proof that is wanted.
    #[error("the authority does not offer the challenge {0} for {1}")]
    NoChallenge(&'static str, String),
    /// It has refused.
    #[error("the authority has refused: {0}")]
    Refused(String),
    /// The account or certificate cannot be kept.
    #[error("the state folder cannot be used: {0}")]
    Store(#[from] io::Error),
    /// What it gave cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// A proof cannot be made.
    #[error("{0}")]
    Proof(#[from] rcgen::Error),
}

/// Orders a certificate for these names; gives its chain and key in PEM.
pub(super) async fn order(
    authority: &Acme,
    names: &[String],
    store: &Store,
    desk: &AcmeDesk,
) -> Result<String, OrderError> {
    let account = account(authority, store).await?;
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let (kind, word) = match authority.challenge {
            Challenge::Http01 => (ChallengeType::Http01, "http-01"),
            Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            return Err(OrderError::NoChallenge(word, name));
        };
        let proof = challenge.key_authorization();
        match authority.challenge {
            Challenge::Http01 => desk.offer_token(&challenge.token, proof.as_str()),
            Challenge::TlsAlpn01 => offer_proof(desk, &name, &proof)?,
        }
        challenge.set_ready().await?;
    }
    let status = order.poll_ready(&RetryPolicy::default()).await?;
    if status != OrderStatus::Ready {
        return Err(OrderError::Refused(why(&mut order).await));
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&RetryPolicy::default()).await?;
    Ok(chain + &key)
}

/// The account that was kept, or a new one.
async fn account(authority: &Acme, store: &Store) -> Result<Account, OrderError> {
    let transport = Transport::new(authority.ca.as_deref()).map_err(OrderError::Ca)?;
    let builder = Account::builder_with_http(Box::new(transport));
    if let Some(credentials) = store.account(authority)? {
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<String> = authority.contact.iter().map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    // Who names an authority in the cluster file has agreed to its terms.
    let account =
        NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&account, authority.directory.clone(), None).await?;
    store.keep_account(authority, credentials)?;
    Ok(account)
}

/// A certificate of our own that has the digest in it (RFC 8737 section 3).
fn offer_proof(desk: &AcmeDesk, name: &str, proof: &KeyAuthorization) -> Result<(), OrderError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(desk.offer_proof(name, &certificate.pem(), &key.serialize_pem())?)
}

/// What the authority did not like, in its words.
async fn why(order: &mut instant_acme::Order) -> String {
    let mut words = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        if let Ok(state) = authorization.refresh().await {
            let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            words.extend(problems.map(|problem| format!("{name}: {problem}")));
        }
    }
    if words.is_empty() { "it did not say why".to_owned() } else { words.join("; ") }
}
