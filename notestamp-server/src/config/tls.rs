//! TLS: the files with which the server speaks https itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueHint;

use super::ConfigError;
use super::listen::{OrOff, parse_optional_address};

/// How the server speaks https itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSettings {
    /// The certificate and its key.
    pub files: TlsFiles,
    /// The address that redirects http to https; if absent, nothing speaks http.
    pub redirect_address: Option<SocketAddr>,
}

/// The files of a certificate. They are read again when they change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to a trusted one, as PEM.
    pub certificate: PathBuf,
    /// The private key, as PEM.
    pub key: PathBuf,
}

#[derive(clap::Args)]
pub(super) struct TlsArgs {
    /// PEM file with the server's certificate and its chain: serve https itself; read again when it
    /// changes [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,

    /// PEM file with the private key of --tls-cert [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: Option<PathBuf>,

    /// Address that redirects http to https, or `off`; needs --tls-cert
    #[arg(long, value_name = "ADDR", default_value = "off", value_parser = parse_optional_address)]
    redirect_listen: OrOff<SocketAddr>,
}

impl TlsArgs {
    /// The settings, absent if the server does not speak https itself.
    ///
    /// # Errors
    /// If one of the files is given without the other, or a redirect without them.
    pub(super) fn into_settings(self) -> Result<Option<TlsSettings>, ConfigError> {
        let redirect_address = self.redirect_listen;
        match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(TlsSettings { files: TlsFiles { certificate, key }, redirect_address }))
            }
            (None, None) if redirect_address.is_none() => Ok(None),
            (None, None) => {
                let reason = "--redirect-listen leads to https, which needs --tls-cert and --tls-key";
                Err(ConfigError::Contradiction(reason.into()))
            }
            (certificate, _) => {
                let missing = if certificate.is_some() { "--tls-key" } else { "--tls-cert" };
                let reason = format!("https needs --tls-cert and --tls-key: {missing} is absent");
                Err(ConfigError::Contradiction(reason))
            }
        }
    }
}
