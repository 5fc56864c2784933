//! Tokens, by whatever credential Azure's own libraries take.

use crate::IngestError;
use crate::http::Http;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret as AzureSecret, TokenCredential};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use model::Secret;
use std::sync::Arc;
use tokio::sync::RwLock;

/// By what whoever writes the policies signs in.
#[derive(Clone, Debug)]
pub enum Credential {
    Secret {
        tenant: String,
        client: String,
        secret: Secret<String>,
    },
    /// A federated token in a file, as `AZURE_FEDERATED_TOKEN_FILE` and its kin say.
    WorkloadIdentity,
    /// This machine's, or the user-assigned one with this client id.
    ManagedIdentity {
        client: Option<String>,
    },
    /// Whoever is signed in to the Azure CLI.
    AzureCli,
}

/// Tokens for one audience. A token is kept until five minutes before its end.
pub(crate) struct Credentials {
    credential: Credential,
    /// Where to sign in; Azure, or what `AZURE_AUTHORITY_HOST` says, where it is none.
    authority: Option<String>,
    scope: String,
    http: Http,
    /// And how often it was made anew: making it anew is what forgets a token.
    current: RwLock<(u64, Arc<dyn TokenCredential>)>,
}

/// A token and which of them it is.
pub(crate) struct Token {
    pub(crate) text: Secret<String>,
    pub(crate) generation: u64,
}

impl Credentials {
    pub(crate) fn new(
        credential: Credential,
        authority: Option<String>,
        audience: &str,
        http: Http,
    ) -> Result<Self, IngestError> {
        let current = RwLock::new((0, made(&credential, authority.as_deref(), &http)?));
        let scope = format!("{}/.default", audience.trim_end_matches('/'));
        Ok(Self { credential, authority, scope, http, current })
    }

    /// # Errors
    /// In words, why there is no token.
    pub(crate) async fn token(&self) -> Result<Token, String> {
        let (generation, credential) = self.current.read().await.clone();
        let token = credential.get_token(&[self.scope.as_str()], None).await;
        let token = token.map_err(|it| format!("no token: {it}"))?;
        Ok(Token { text: Secret::new(token.token.secret().to_owned()), generation })
    }

    /// Forgets the token, unless somebody has since it was given out: of many that are refused together one asks
    /// for a new one.
    pub(crate) async fn forget(&self, generation: u64) -> Result<(), IngestError> {
        let mut current = self.current.write().await;
        if current.0 == generation {
            let anew = made(&self.credential, self.authority.as_deref(), &self.http)?;
            *current = (generation + 1, anew);
        }
        Ok(())
    }

    /// How many tokens were forgotten.
    pub(crate) async fn forgotten(&self) -> u64 {
        self.current.read().await.0
    }
}

fn made(
    credential: &Credential,
    authority: Option<&str>,
    http: &Http,
) -> Result<Arc<dyn TokenCredential>, IngestError> {
    let cloud = authority.map(|authority| {
        let mut custom = CustomConfiguration::default();
        custom.authority_host = authority.to_owned();
        Arc::new(custom.into())
    });
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(http.clone()))),
        cloud,
        ..ClientOptions::default()
    };
    let made: azure_core::Result<Arc<dyn TokenCredential>> = match credential {
        Credential::Secret { tenant, client, secret } => {
            let secret = AzureSecret::new(secret.reveal().clone());
            let options = ClientSecretCredentialOptions { client_options };
            ClientSecretCredential::new(tenant, client.clone(), secret, Some(options))
                .map(|it| it as Arc<dyn TokenCredential>)
        }
        Credential::WorkloadIdentity => {
            let mut options = WorkloadIdentityCredentialOptions::default();
            options.credential_options.client_options = client_options;
            WorkloadIdentityCredential::new(Some(options)).map(|it| it as Arc<dyn TokenCredential>)
        }
        Credential::ManagedIdentity { client } => {
            let user_assigned_id = client.clone().map(UserAssignedId::ClientId);
            let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
            ManagedIdentityCredential::new(Some(options)).map(|it| it as Arc<dyn TokenCredential>)
        }
        Credential::AzureCli => {
            AzureCliCredential::new(None).map(|it| it as Arc<dyn TokenCredential>)
        }
    };
    made.map_err(|it| IngestError(format!("the credential cannot be used: {it}")))
}
