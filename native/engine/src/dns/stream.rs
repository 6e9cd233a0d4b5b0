//! Name queries over TCP (RFC 7766): each is answered from the names of the mesh, or passed on, as it came, over one
//! connection to the resolver that was asked, which goes the way of every connection of the pod. What the resolver sends is
//! passed back message by message, so zone transfers work.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use domain::base::iana::Rcode;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::answer::from_mesh;
use super::message;
use super::messages::{LONGEST, Messages, write};
use super::metrics::{Carrier, PodSeries, Series};
use crate::drain::Phase;
use crate::flows::{Dialler, Neighbour, Pod, Refused, ThreadContext, TunnelStream, Upstream, find};
use crate::relay::{ByteSink, ByteSource, Leg, TcpSink, TcpSource, stream_leg, tcp_leg, tls_leg};
use crate::telemetry::FlowDescription;

/// One accepted connection, to its end. `widen` takes account of a second socket, where there is room for it.
pub async fn serve(
    context: Rc<ThreadContext>,
    pod: Arc<Pod>,
    socket: TcpStream,
    description: FlowDescription,
    widen: impl FnMut() -> bool,
) {
    let Leg { source, sink } = tcp_leg(socket);
    let client = Client {
        context: &context,
        pod: &pod,
        series: PodSeries::default(),
        replies: Mutex::new(sink),
    };
    let in_order = tokio::select! {
        biased;
        () = pod.drain.reached(Phase::Closed) => false,
        // However it ends, both sockets are closed with it, and the client asks again.
        ended = client.serve(Messages::new(source), description, widen) => ended.is_ok(),
    };
    if in_order {
        client.replies.into_inner().settle();
    }
}

struct Client<'a> {
    context: &'a Rc<ThreadContext>,
    pod: &'a Arc<Pod>,
    series: PodSeries,
    replies: Mutex<TcpSink>,
}

type Queries = Messages<TcpSource>;

/// A message that is not answered from the mesh.
struct Foreign {
    bytes: Vec<u8>,
    series: Series,
}

impl Client<'_> {
    async fn serve(
        &self,
        mut queries: Queries,
        mut description: FlowDescription,
        widen: impl FnMut() -> bool,
    ) -> io::Result<()> {
        let Some(first) = self.next_foreign(&mut queries).await? else {
            return Ok(());
        };
        first.series.upstream_requests.increment();
        match self.reach(&mut description, widen).await {
            Ok(resolver) => self.converse_with(first, queries, resolver).await,
            Err(refused) => {
                self.context.shared.refuse(&description, &refused);
                first.series.upstream_failures.increment();
                let failure = message::failure(&first.bytes, Rcode::SERVFAIL);
                self.reply(failure).await
            }
        }
    }

    /// What is refused to the pod's connections is no resolver of its either.
    async fn reach(
        &self,
        description: &mut FlowDescription,
        mut widen: impl FnMut() -> bool,
    ) -> Result<Upstream, Refused> {
        match find(self.context, self.pod, Dialler::Anybody, description).await? {
            Upstream::Tcp(_) | Upstream::Tls(_) if !widen() => Err(Refused::over_capacity()),
            resolver => Ok(resolver),
        }
    }

    async fn converse_with(
        &self,
        first: Foreign,
        queries: Queries,
        resolver: Upstream,
    ) -> io::Result<()> {
        match resolver {
            Upstream::Tcp(stream) => self.converse(first, queries, tcp_leg(stream)).await,
            Upstream::Tls(stream) => self.converse(first, queries, tls_leg(*stream)).await,
            Upstream::Stream(TunnelStream {
                send,
                receive,
                lease,
            }) => {
                let leg = stream_leg(send, receive, lease);
                self.converse(first, queries, leg).await
            }
            Upstream::Neighbour(Neighbour {
                stream,
                admission,
                place: _place,
            }) => {
                tokio::select! {
                    biased;
                    _ = admission.cancel().cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
                    ended = self.converse(first, queries, tcp_leg(stream)) => ended,
                }
            }
        }
    }

    /// Ends with the resolver's side: it may still answer when the client has no more questions.
    async fn converse<Source: ByteSource, Sink: ByteSink>(
        &self,
        first: Foreign,
        mut queries: Queries,
        resolver: Leg<Source, Sink>,
    ) -> io::Result<()> {
        let (mut answers, mut questions) = (Messages::new(resolver.source), resolver.sink);
        let forth = async {
            write(&mut questions, &first.bytes).await?;
            while let Some(query) = self.next_foreign(&mut queries).await? {
                query.series.upstream_requests.increment();
                write(&mut questions, &query.bytes).await?;
            }
            questions.finish().map_err(io::Error::other)
        };
        let back = async {
            while let Some(answer) = answers.next().await? {
                self.reply(Some(answer)).await?;
            }
            Ok(())
        };
        tokio::pin!(back);
        let ended = tokio::select! {
            ended = &mut back => ended,
            asked = forth => match asked {
                Ok(()) => back.await,
                failed => failed,
            },
        };
        if ended.is_ok() {
            questions.settle();
        }
        ended
    }

    /// Answers what the mesh knows until there is something else; `None`: the client has ended.
    async fn next_foreign(&self, queries: &mut Queries) -> io::Result<Option<Foreign>> {
        while let Some(bytes) = queries.next().await? {
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
