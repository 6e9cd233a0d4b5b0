//! A server of the control plane: TLS with certificates on both sides, somewhere that pods cannot reach.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ambit_engine::api::IdentityCertificate;
use ambit_engine::tls::peer_identity;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::PATIENCE;

/// Serves one connection: answers the question with the client's identity. `protocol` is what it agrees on by ALPN.
pub struct Control {
    pub address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Control {
    pub fn start(certificate: &IdentityCertificate, protocol: &str) -> Self {
        let config = Arc::new(config(certificate, protocol));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            // Fails where the client does not accept the server; that is the test's to see at the client.
            let _ = serve(socket, config);
        });
        Control { address, thread }
    }

    pub fn end(self) {
        self.thread.join().unwrap();
    }
}

fn config(certificate: &IdentityCertificate, protocol: &str) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(certificate.roots.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = CertificateDer::from_pem_slice(certificate.certificate_chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.private_key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![chain], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.into()];
    config
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let session = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let mut question = String::new();
    stream.read_to_string(&mut question)?;
    let client = peer_identity(&stream.conn.peer_certificates().unwrap()[0]).unwrap();
    let name = stream.conn.server_name().unwrap_or_default().to_owned();
    write!(stream, "{question} to {name} from {client}")?;
    stream.conn.send_close_notify();
    stream.flush()
}
