//! Channel binding: the proof of a password is bound to the server's certificate, so that a server in between cannot
//! pass it on.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

/// A connection that bytes go through.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open connection to a server, with TLS or without.
pub(crate) struct Opened {
    stream: Box<dyn Stream>,
    has_tls: bool,
    end_point: Option<Vec<u8>>,
}

/// Takes a connection as it was opened.
pub(super) struct AsOpened;

impl Opened {
    /// Returns a connection without TLS.
    pub(super) fn plain(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { stream: Box::new(stream), has_tls: false, end_point: None }
    }

    /// Returns a connection with TLS, to a server that has shown a certificate.
    pub(super) fn with_tls(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Self {
        Self { stream: Box::new(stream), has_tls: true, end_point: certificate.and_then(end_point) }
    }

    /// Says whether the connection has TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// Returns what a proof is bound to; none without TLS, or where the certificate has no digest.
    pub(crate) fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }
}

/// Returns the `tls-server-end-point` of RFC 5929: the digest of the certificate, by the one of its signature.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let signed = Certificate::from_der(certificate).ok()?.signature_algorithm().oid;
    let algorithm: &'static Algorithm = match signed {
        // The RFC has SHA-256 in the place of what is weaker.
        SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => &SHA256,
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => &SHA384,
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

impl TlsStream for Opened {
    fn channel_binding(&self) -> ChannelBinding {
        self.end_point.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl TlsConnect<Opened> for AsOpened {
    type Stream = Opened;
    type Error = io::Error;
    type Future = Ready<io::Result<Opened>>;

    fn connect(self, stream: Opened) -> Self::Future {
        ready(Ok(stream))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
