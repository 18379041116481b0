//! The thin layer between frames and HTTP/2: codec, client call, server method. It is written by hand,
//! because one method needs no generated code and no `protoc`. Leaves the frames to [`super::wire`].

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::server::StreamingService;
use tonic::{Code, Status};

use super::wire::{Frame, METHOD};

/// The bytes that a frame may have beyond its payload: names, ids, tags.
const ENVELOPE_BYTES_MAX: usize = 4096;
/// Frames are gathered up to this size before HTTP/2 gets them. HTTP/2 cuts them at 16 KiB anyway.
const GATHERED_BYTES: usize = 64 * 1024;

/// Opens the stream: sends the frames from `outgoing` to the peer, and returns the peer's frames.
pub(super) async fn open<S>(
    sender: SendRequest<Body>,
    outgoing: S,
    message_bytes_max: usize,
) -> Result<Streaming<Frame>, Status>
where
    S: Stream<Item = Frame> + Send + 'static,
{
    let origin = Uri::from_static("http://replica");
    let mut client = Grpc::with_origin(Sender(sender), origin)
        .max_decoding_message_size(message_bytes_max + ENVELOPE_BYTES_MAX);
    let request = tonic::Request::new(outgoing);
    let path = PathAndQuery::from_static(METHOD);
    let response = client.streaming(request, path, FrameCodec).await?;
    Ok(response.into_inner())
}

/// Answers one HTTP request: `accept` gets the incoming stream of the one method, and returns the frames
/// to send.
pub(super) async fn serve<F>(
    request: Request<Incoming>,
    message_bytes_max: usize,
    accept: F,
) -> Response<Body>
where
    F: FnOnce(Streaming<Frame>) -> mpsc::Receiver<Frame> + Send,
{
    if request.uri().path() != METHOD {
        return Status::new(Code::Unimplemented, "no such method").into_http();
    }
    tonic::server::Grpc::new(FrameCodec)
        .max_decoding_message_size(message_bytes_max + ENVELOPE_BYTES_MAX)
        .streaming(Method(Some(accept)), request)
        .await
}

struct Sender(SendRequest<Body>);

impl GrpcService<Body> for Sender {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// The server method; called once per request.
struct Method<F>(Option<F>);

impl<F> StreamingService<Frame> for Method<F>
where
    F: FnOnce(Streaming<Frame>) -> mpsc::Receiver<Frame>,
{
    type Response = Frame;
    type ResponseStream = Answers;
    type Future = Ready<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Frame>>) -> Self::Future {
        ready(match self.0.take() {
            Some(accept) => Ok(tonic::Response::new(Answers(accept(request.into_inner())))),
            None => Err(Status::internal("called twice")),
        })
    }
}

struct Answers(mpsc::Receiver<Frame>);

impl Stream for Answers {
    type Item = Result<Frame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

#[derive(Clone, Copy, Debug)]
struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = Frame;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for FrameCodec {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame
            .encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(GATHERED_BYTES, GATHERED_BYTES / 2)
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Frame>, Status> {
        Frame::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(GATHERED_BYTES, GATHERED_BYTES / 2)
    }
}
