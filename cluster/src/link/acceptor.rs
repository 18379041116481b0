//! Accepts connections from other replicas, within bounds that also hold for strangers. Leaves the stream
//! on a connection to [`super::inbound`].

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::dialler::WINDOW_BYTES;
use super::gate::Gate;
use super::local_end::LocalEnd;
use super::service::Service;
use super::tls::Problem;
use super::trust::{self, Opened};
use super::{grpc, inbound};
use crate::names;

/// The pause after a failed accept: most likely the file descriptors have run out, and that passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may stay after its stream has ended, for the last frames to get out.
const PARTING: Duration = Duration::from_secs(1);
/// The most bytes of headers, also from a stranger.
const HEADER_BYTES_MAX: u32 = 8 * 1024;
/// Answers that wait for room on the wire. Further answers wait in the task of their call.
const ANSWERS_MAX: usize = 1024;

/// Accepts connections until the links are stopped.
pub(super) async fn accept(end: Arc<LocalEnd>, listener: TcpListener, service: Arc<dyn Service>) {
    let settings = &end.dialler.settings;
    let peers = Arc::new(Semaphore::new(settings.peers_max));
    let strangers = Arc::new(Semaphore::new(settings.strangers_max));
    loop {
        let accepted = tokio::select! {
            biased;
            () = end.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "can't accept a replica's connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let permits = (
            Arc::clone(&peers).try_acquire_owned(),
            Arc::clone(&strangers).try_acquire_owned(),
        );
        let (Ok(peer), Ok(stranger)) = permits else {
            metrics::counter!(names::LINK_REFUSED, "reason" => "busy").increment(1);
            continue;
        };
        let connection = connection(Arc::clone(&end), socket, Arc::clone(&service), stranger);
        end.tracker.spawn(async move {
            connection.await;
            drop(peer);
        });
    }
}

async fn connection(
    end: Arc<LocalEnd>,
    socket: TcpStream,
    service: Arc<dyn Service>,
    stranger: OwnedSemaphorePermit,
) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let gate = Gate::default();
    let connect_limit = end.dialler.settings.connect_limit;
    tokio::select! {
        biased;
        () = end.killed.cancelled() => {}
        () = overdue(&gate, connect_limit, stranger) => {}
        () = open_and_serve(&end, socket, service, &gate) => {}
    }
}

/// Ends with the connection.
async fn open_and_serve(
    end: &Arc<LocalEnd>,
    socket: TcpStream,
    service: Arc<dyn Service>,
    gate: &Gate,
) {
    let origin = trust::origin(&socket);
    match end.dialler.trust.accept(socket).await {
        Ok(Some(opened)) => serve(end, opened, service, gate).await,
        Ok(None) => {}
        Err(problem) => refuse(end, &origin, &problem),
    }
}

async fn serve(end: &Arc<LocalEnd>, opened: Opened, service: Arc<dyn Service>, gate: &Gate) {
    let Opened { stream, secret, .. } = opened;
    let settings = &end.dialler.settings;
    let opened = AtomicBool::new(false);
    let method = service_fn(|request| {
        let again = opened.swap(true, Ordering::Relaxed);
        let (end, service, gate) = (Arc::clone(end), Arc::clone(&service), gate.clone());
        let secret = secret.clone();
        async move {
            let message_bytes_max = end.dialler.settings.message_bytes_max;
            let response = grpc::serve(request, message_bytes_max, |frames| {
                let (out, answers) = mpsc::channel(ANSWERS_MAX);
                if !again {
                    let tracker = end.tracker.clone();
                    tracker.spawn(inbound::run(end, service, frames, out, secret, gate));
                }
                answers
            });
            Ok::<_, Infallible>(response.await)
        }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keepalive_every)
        .keep_alive_timeout(settings.keepalive_limit)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(1)
        .max_header_list_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), method);
    // The stream reports how the connection ended.
    drop(connection.await);
}

fn refuse(end: &LocalEnd, origin: &str, problem: &Problem) {
    metrics::counter!(names::LINK_REFUSED, "reason" => "tls").increment(1);
    if let Some(repeats) = end.refusals.failed(Instant::now()) {
        let count = repeats.count;
        tracing::warn!(error = %problem, from = origin, count, "a replica's link was refused by TLS");
    }
}

/// Returns when the connection has stayed for longer than it may.
async fn overdue(gate: &Gate, connect_limit: Duration, stranger: OwnedSemaphorePermit) {
    let introduced = tokio::time::timeout(connect_limit, async {
        tokio::select! {
            biased;
            () = gate.authenticated.cancelled() => {}
            () = gate.over.cancelled() => {}
        }
    });
    if introduced.await.is_err() {
        return;
    }
    drop(stranger);
    gate.over.cancelled().await;
    tokio::time::sleep(PARTING).await;
}
