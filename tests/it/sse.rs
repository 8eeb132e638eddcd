//! A reader of server-sent events, as small as one can be: it remembers the last id, as a browser does.

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::world::PATIENCE;

/// A stream of events that was begun.
pub(crate) struct Sse {
    response: Response,
    text: String,
    /// Where to go on.
    pub(crate) last_id: Option<String>,
}

impl Sse {
    pub(crate) fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), last_id: None }
    }

    /// The next event; `None` when the connection has ended, in whatever way.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let lines: Vec<&str> = block.lines().collect();
                let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name));
                self.last_id = field("id: ").map(str::to_owned).or(self.last_id.take());
                let data = field("data: ").map(|data| serde_json::from_str(data).expect("JSON"));
                self.text = rest.to_owned();
                if data.is_some() {
                    return data;
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).expect("text"));
        }
    }

    /// So many events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await.expect("an event"));
        }
        events
    }
}
