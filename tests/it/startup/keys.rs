//! A `dev` that asks everybody for a key: made on the command line, used by the commands and on sockets, and
//! revoked while it is in use.

use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::support::dev::launch;
use crate::support::environment::{free_port, fresh_folder, fresh_tag, program};
use crate::support::role::Role;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn trackops(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).envs(environment.iter().copied());
    command.output().await.expect("it runs")
}

fn out(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// As a browser opens it: the key is a subprotocol.
async fn open(base: &str, key: &str) -> Socket {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key);
    let url = format!("{}/api/v1/track", base.replace("http:", "ws:"));
    let mut request = url.into_client_request().expect("a URL");
    let protocols = format!("trackops.v1, trackops.bearer.{encoded}");
    let headers = request.headers_mut();
    headers.insert(
        "sec-websocket-protocol",
        protocols.parse().expect("visible"),
    );
    let (socket, answer) = tokio_tungstenite::connect_async(request)
        .await
        .expect("is upgraded");
    let chosen = answer.headers().get("sec-websocket-protocol");
    assert_eq!(chosen.and_then(|it| it.to_str().ok()), Some("trackops.v1"));
    socket
}

async fn next(socket: &mut Socket) -> Message {
    let next = timeout(PATIENCE, socket.next()).await;
    next.expect("in time").expect("not closed").expect("sound")
}

async fn told(socket: &mut Socket) -> Value {
    loop {
        match next(socket).await {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, message: &Value) {
    let text = Message::Text(message.to_string().into());
    socket.send(text).await.expect("is sent");
}

/// A command that follows the order, and has shown something of it.
async fn watch(id: &str, environment: &[(&str, &str)]) -> Child {
    let mut watching = Command::new(program());
    watching.args(["watch", id, "--until-final"]);
    watching.envs(environment.iter().copied());
    watching.stdout(Stdio::piped()).kill_on_drop(true);
    let mut watching = watching.spawn().expect("it runs");
    let shown = BufReader::new(watching.stdout.take().expect("piped"));
    let first = timeout(PATIENCE, shown.lines().next_line()).await;
    let first = first.expect("in time").expect("sound");
    assert!(first.is_some(), "nothing was shown");
    watching
}

#[tokio::test]
async fn a_key_opens_and_ends_everything() {
    let folder = fresh_folder(&fresh_tag());
    let data = folder.join("data");
    let data_text = data.to_string_lossy().into_owned();
    let keys = ["keys", "--data-dir", &data_text];
    let create = ["create", "--name", "ops", "--role", "operator"];
    let operator = out(&trackops(&[&keys[..], &create].concat(), &[]).await);
    let listed = out(&trackops(&[&keys[..], &["list"]].concat(), &[]).await);
    assert!(listed.contains("operator"), "{listed}");
    let secret = operator.splitn(3, '_').nth(2).expect("three parts");
    assert!(!listed.contains(secret));

    let mut start = launch(&folder, &data, free_port());
    start
        .environment
        .push(("TRACKOPS_AUTH".into(), "required".into()));
    let mut role = Role::spawn_with(start, None);
    role.ready().await;
    let base = role.launch.management.clone();
    let http = reqwest::Client::new();
    let post = async |key: &str, path: &str, body: &Value| {
        let request = http.post(format!("{base}{path}")).bearer_auth(key);
        let answer = request.json(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON"))
    };
    // In stock, so that the order stays open.
    let stock = http.put(format!("{base}/api/v1/inventory/items/PIZZA-MARGHERITA"));
    let stocked = stock.bearer_auth(&operator).json(&json!({"onHand": 10}));
    let stocked = stocked.send().await.expect("an answer");
    assert_eq!(stocked.status().as_u16(), 200);
    let customer = Uuid::from_u128(0xa);
    let body = json!({"name": "ann", "role": "customer", "customerId": customer});
    let (status, made) = post(&operator, "/admin/v1/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    let (ann, ann_id) = (
        made["key"].as_str().expect("a key").to_owned(),
        made["id"].as_str().expect("an id").to_owned(),
    );
    let mut order = crate::support::bodies::order_of("PIZZA-MARGHERITA", 1);
    order.as_object_mut().expect("fields").remove("customerId");
    let (status, anns) = post(&ann, "/api/v1/orders", &order).await;
    assert_eq!(status, 201, "{anns}");
    order["customerId"] = json!(Uuid::from_u128(0xb));
    let (status, others) = post(&operator, "/api/v1/orders", &order).await;
    assert_eq!(status, 201, "{others}");

    // The commands send the key that the environment has.
    let id = anns["id"].as_str().expect("an id");
    let url = ("TRACKOPS_URL", base.as_str());
    let shown = trackops(&["show", id], &[url, ("TRACKOPS_API_KEY", &ann)]).await;
    assert!(out(&shown).contains(id));
    let refused = trackops(&["show", id], &[url]).await;
    assert_eq!(refused.status.code(), Some(1));

    let mut socket = open(&base, &ann).await;
    say(&mut socket, &json!({"type": "subscribe", "orderId": id})).await;
    assert_eq!(told(&mut socket).await["type"], "snapshot");
    let foreign = json!({"type": "subscribe", "orderId": others["id"]});
    say(&mut socket, &foreign).await;
    // Updates of the own order may come in between.
    let problem = loop {
        let message = told(&mut socket).await;
        if message["type"] == "error" {
            break message;
        }
        assert_eq!(message["orderId"], json!(id), "{message}");
    };
    assert_eq!(problem["problem"]["code"], "order-not-found");
    // Another caller's key doesn't take the socket over.
    let renew = json!({"type": "authenticate", "token": operator});
    say(&mut socket, &renew).await;
    let problem = loop {
        let message = told(&mut socket).await;
        if message["type"] == "error" {
            break message;
        }
    };
    assert_eq!(problem["problem"]["code"], "forbidden");

    // A command that follows the order ends with the key, instead of coming back with it again and again.
    let mut watching = watch(id, &[url, ("TRACKOPS_API_KEY", ann.as_str())]).await;

    let path = format!("/admin/v1/keys/{ann_id}/revoke");
    let (status, revoked) = post(&operator, &path, &json!({})).await;
    assert_eq!(status, 200, "{revoked}");
    // A socket that is never quiet ends too.
    let close = loop {
        let _ = socket.send(Message::Ping("busy".into())).await;
        match next(&mut socket).await {
            Message::Close(Some(close)) => break close,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(u16::from(close.code), 4401);
    let ended = timeout(PATIENCE, watching.wait()).await;
    let ended = ended.expect("it gives up").expect("it ran");
    assert_eq!(ended.code(), Some(1));
    let (status, _) = post(&ann, "/api/v1/orders", &order).await;
    assert_eq!(status, 401);
    let log = role.log();
    for secret in [&operator, &ann] {
        assert!(!log.contains(secret.as_str()), "a key is in the log");
    }
    role.kill();
}
