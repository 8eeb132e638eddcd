//! Plain round robin before the gateways, as any load balancer does it: the next connection goes to the next gateway that
//! takes it. It knows nothing of HTTP, and repeats nothing.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A balancer. Dropping it ends all its connections.
pub(crate) struct Balancer {
    pub(crate) http: String,
    gateways: Arc<Gateways>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Gateways {
    addresses: Mutex<Vec<String>>,
    next: AtomicUsize,
}

impl Balancer {
    /// Without any gateway yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let http = format!("http://{}", listener.local_addr().expect("an address"));
        let gateways = Arc::<Gateways>::default();
        let task = tokio::spawn(serve(listener, gateways.clone()));
        Self { http, gateways, task }
    }

    /// New connections go to these from now on.
    pub(crate) fn set(&self, addresses: Vec<String>) {
        *self.gateways.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateways {
    /// The next that takes a connection; each is asked once.
    async fn connect(&self) -> Option<TcpStream> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !addresses.is_empty() {
            let first = self.next.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(first);
        }
        for address in addresses {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Some(stream);
            }
        }
        None
    }
}

async fn serve(listener: TcpListener, gateways: Arc<Gateways>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut client, _) = accepted.expect("a connection");
                let gateways = gateways.clone();
                connections.spawn(async move {
                    if let Some(mut gateway) = gateways.connect().await {
                        // However it ends, both sides see it.
                        let _ = copy_bidirectional(&mut client, &mut gateway).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
