//! Name queries over TCP (RFC 7766): each is answered from the names of the mesh, or passed on, as it came, over one
//! connection to the resolver that was asked. What the resolver sends is passed back message by message, so zone transfers work.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Rcode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::answer::from_mesh;
use super::message;
use super::metrics::{Carrier, PodSeries, Series};
use crate::api::{OutboundAction, OutboundQuestion};
use crate::drain::Phase;
use crate::flows::{Pod, ThreadContext, dial};

/// How long one side may say nothing that it could say.
const IDLE: Duration = Duration::from_secs(30);
const LONGEST: usize = u16::MAX as usize;

/// One accepted connection, to its end. `widen` takes account of the second socket, where there is room for it.
pub async fn serve(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    socket: TcpStream,
    resolver: SocketAddr,
    widen: impl FnOnce() -> bool,
) {
    let (queries, replies) = socket.into_split();
    let client = Client {
        context: &context,
        pod: &pod,
        series: PodSeries::default(),
        replies: Mutex::new(replies),
    };
    tokio::select! {
        biased;
        () = pod.drain.reached(Phase::Closed) => {}
        // However it ends, both sockets are closed with it, and the client asks again.
        _ = client.serve(queries, resolver, widen) => {}
    }
}

struct Client<'a> {
    context: &'a ThreadContext,
    pod: &'a Pod,
    series: PodSeries,
    replies: Mutex<OwnedWriteHalf>,
}

/// A message that is not answered from the mesh.
struct Foreign {
    bytes: Vec<u8>,
    series: Series,
}

impl Client<'_> {
    async fn serve(
        &self,
        mut queries: OwnedReadHalf,
        resolver: SocketAddr,
        widen: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        let Some(first) = self.next_foreign(&mut queries).await? else {
            return Ok(());
        };
        first.series.upstream_requests.increment();
        let dialled = match self.may_reach(resolver).await && widen() {
            true => {
                let limit = self.context.shared.connect_timeout;
                dial(self.pod, resolver, limit).await.ok()
            }
            false => None,
        };
        let Some(upstream) = dialled else {
            first.series.upstream_failures.increment();
            return self
                .reply(message::failure(&first.bytes, Rcode::SERVFAIL))
                .await;
        };
        self.converse(first, queries, upstream).await
    }

    /// What is refused to the pod's connections is no resolver of its either.
    async fn may_reach(&self, resolver: SocketAddr) -> bool {
        let question = OutboundQuestion {
            pod: self.pod.spec().uid.clone(),
            destination: resolver.ip(),
            port: resolver.port(),
        };
        let verdict = self.context.shared.decisions.outbound(question).await;
        verdict.is_ok_and(|verdict| !matches!(verdict.action, OutboundAction::Deny { .. }))
    }

    /// Ends with the resolver's side: it may still answer when the client has no more questions.
    async fn converse(
        &self,
        first: Foreign,
        mut queries: OwnedReadHalf,
        upstream: TcpStream,
    ) -> io::Result<()> {
        let (mut answers, mut questions) = upstream.into_split();
        let forth = async {
            write(&mut questions, &first.bytes).await?;
            while let Some(query) = self.next_foreign(&mut queries).await? {
                query.series.upstream_requests.increment();
                write(&mut questions, &query.bytes).await?;
            }
            questions.shutdown().await
        };
        let back = async {
            while let Some(answer) = read(&mut answers).await? {
                self.reply(Some(answer)).await?;
            }
            Ok(())
        };
        tokio::pin!(back);
        tokio::select! {
            ended = &mut back => ended,
            asked = forth => match asked {
                Ok(()) => back.await,
                failed => failed,
            },
        }
    }

    /// Answers what the mesh knows until there is something else; `None`: the client has ended.
    async fn next_foreign(&self, queries: &mut OwnedReadHalf) -> io::Result<Option<Foreign>> {
        while let Some(bytes) = read(queries).await? {
            let Some(query) = message::read(&bytes) else {
                self.context.shared.dns.dropped.increment();
                self.reply(message::unreadable(&bytes)).await?;
                continue;
            };
            let series = self
                .series
                .of(self.context, self.pod, query.kind, Carrier::Tcp);
            series.requests.increment();
            let names = &self.context.shared.names;
            match from_mesh(names, &self.pod.spec().identity, &query, &bytes, LONGEST) {
                Some(answer) => self.reply(Some(answer)).await?,
                None => return Ok(Some(Foreign { bytes, series })),
            }
        }
        Ok(None)
    }

    async fn reply(&self, answer: Option<Vec<u8>>) -> io::Result<()> {
        match answer {
            Some(answer) => write(&mut *self.replies.lock().await, &answer).await,
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// One message; `None` at the end of the stream.
async fn read(stream: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
    let reading = async {
        let length = match stream.read_u16().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            length => usize::from(length?),
        };
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        Ok(Some(message))
    };
    timeout(IDLE, reading).await?
}

async fn write(stream: &mut OwnedWriteHalf, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    // One segment: some clients read the length and the message in one go.
    let framed = [&length.to_be_bytes(), message].concat();
    timeout(IDLE, stream.write_all(&framed)).await?
}
