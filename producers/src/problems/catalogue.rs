//! The catalogue of problems: every name that a client can meet, what it means, and what to do. It is served at
//! `/problems/{name}`. Names are append-only: clients compare them.

use axum::http::StatusCode;

/// One kind of problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The last part of `type`.
    pub(crate) name: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// A few words.
    pub(crate) title: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

const fn entry(name: &'static str, status: u16, title: &'static str, remedy: &'static str) -> Entry {
    Entry { name, status, title, remedy }
}

/// All of them: first what the gateway says itself, then the rejections of the deciders.
#[rustfmt::skip]
pub(crate) const CATALOGUE: &[Entry] = &[
    entry("invalid-json", 400, "The body is not JSON", "Send one JSON value in UTF-8."),
    entry("invalid-header", 400, "A header cannot be read", "The detail names the header and the form that it must have."),
    entry("invalid-parameter", 400, "A parameter is unknown or cannot be read", "The detail names the parameter and what is allowed."),
    entry("invalid-position", 400, "No such position", "Use positions as they were answered: <topic>/<partition>@<offset>, as in orders.commands/7@1042."),
    entry("unauthenticated", 401, "No valid access token", "Send `Authorization: Bearer <token>` with a token of this installation that has not expired."),
    entry("wrong-credentials", 401, "No such account, or another password", "Check the address and the password. Which of them is wrong is not told."),
    entry("session-over", 401, "The session has ended", "Log in again."),
    entry("forbidden", 403, "Not allowed", "The detail names the role that is missing, or what only the system itself may send."),
    entry("not-found", 404, "Nothing here", "Check the path."),
    entry("stream-not-found", 404, "No such stream", "A stream is called order-<id>, goods-<id>, user-<id> or function-<name>. Auditors see all, developers those of functions; what is one's own, its owner sees too."),
    entry("command-not-found", 404, "No outcome under this id", "Ask with ?at=<position>, as the write answered it: then an undecided command is shown as pending."),
    entry("method-not-allowed", 405, "This method does not exist here", "The header Allow lists those that do."),
    entry("not-acceptable", 406, "Not to be had in this form", "The detail names the media types that Accept may ask for."),
    entry("request-timeout", 408, "The request came too slowly", "Send the whole body without long pauses."),
    entry("body-too-large", 413, "The body is too large", "A body has at most 1 MiB, a command's value at most 256 KiB."),
    entry("unsupported-media-type", 415, "This media type is not understood here", "The detail names those that are."),
    entry("invalid-fields", 422, "Fields are wrong, missing or unknown", "`errors` lists all of them, each with a JSON pointer into the body."),
    entry("path-taken", 409, "Another function answers this path", "Claim another path, or remove that function first."),
    entry("too-many-calls", 429, "Too many calls of functions are running", "Repeat it after Retry-After."),
    entry("function-failed", 500, "The function failed", "The detail is what the function said. Its developers see more in its logs, under the Factfold-Call of the answer."),
    entry("function-stopped", 500, "The function was stopped", "The detail says which limit it met. Its developers can give it other limits, or mend it."),
    entry("function-unavailable", 503, "The function cannot be run now", "Repeat it after Retry-After. If it stays, deploy it again."),
    entry("no-session", 409, "Nothing to end", "Log out with the access token that the log-in gave."),
    entry("registration-expired", 409, "The registration took too long", "Register again."),
    entry("too-many-attempts", 429, "Too many wrong passwords", "Wait as long as Retry-After says. Then the right password works."),
    entry("dead-lettered", 422, "The command could not be read", "The detail says why. It was stored among the dead letters; operators see it there."),
    entry("internal-error", 500, "Something broke inside", "Repeat it, writes under the same Idempotency-Key. If it stays, tell the operators the time and the traceparent."),
    entry("not-implemented", 501, "Documented, but not built yet", "Leave it out; it is refused because ignoring it would give a wrong answer."),
    entry("too-many-waiting", 503, "Too many requests are waiting", "Nothing was written. Repeat it after Retry-After."),
    entry("issuer-unavailable", 503, "The token's issuer cannot be asked now", "Repeat it after Retry-After. Tokens of this installation's own log-in are not concerned."),
    entry("storage-unavailable", 503, "Commands cannot be stored now", "Nothing was written. Repeat it after Retry-After."),
    entry("too-many-readers", 503, "Too many read events already", "Repeat it after Retry-After, or ask another gateway."),
    entry("log-unavailable", 503, "Events cannot be read now", "Repeat it after Retry-After."),
    entry("read-side-unavailable", 503, "The read models cannot be asked now", "Repeat it after Retry-After."),
    entry("read-behind", 503, "The read model has not come that far yet", "Repeat it after Retry-After, or read without Factfold-At-Least."),
    entry("not-ready", 503, "The gateway is not ready", "The detail says what is missing."),
    entry("outcome-unknown", 504, "It is unknown whether the command was stored", "Repeat it under the same Idempotency-Key (or command id): it takes effect once."),

    entry("expired", 409, "The command expired before it was stored", "Send it again with a new id and a later expirytime."),
    entry("too-far-ahead", 422, "The command is to wait for too long", "A notbefore is at most a year ahead: send it later."),
    entry("command-id-reused", 422, "This id or Idempotency-Key came before with another content", "Use a new key for a new request; repeat a request with the same body."),
    entry("version-mismatch", 412, "It is at another version", "Read it again, decide again, then send the new ETag in If-Match."),
    entry("no-change", 200, "It is so already", "Nothing."),

    entry("function-not-found", 404, "No such function", "Check the name; GET /v1/functions lists them."),
    entry("call-not-found", 404, "No such call", "Check the name and the id; only calls that nobody waited for (`Prefer: respond-async`) are kept, for a day."),
    entry("revision-not-found", 404, "No such revision", "GET /v1/functions/<name> lists those that are kept."),
    entry("invalid-code", 422, "The code does not fit", "Code has 1 byte to 23 MiB, and is named by its SHA-256 in lower-case hexadecimal digits."),
    entry("invalid-path", 422, "The path does not fit", "A path is `/` and letters, digits, `-`, `_`, `.` and `/`; not one of the gateway's own."),
    entry("invalid-limits", 422, "A limit does not fit", "10 to 30000 ms, 1 MiB to 1 GiB of memory, 1 byte to 1 MiB of output, 1 to 1000 calls at once."),
    entry("invalid-schema", 422, "A schema does not fit", "A JSON Schema is an object of at most 16 KiB, with patterns that are not too large."),
    entry("invalid-topic", 422, "Not a topic that functions can be bound to", "A topic of events, as orders.events."),
    entry("invalid-types", 422, "The types do not fit", "At most 50, each with 1 to 100 characters."),
    entry("already-bound", 409, "The function is bound already", "Unbind it first."),
    entry("invalid-configuration", 422, "No configuration", "Names of up to 64 letters, digits and `_`; at most 50 settings and 50 secrets, and 16 KiB of each."),
    entry("invalid-schedule", 422, "No schedule", "Five fields of cron as `0 6 * * *`, a name of the IANA time zone database, an input of at most 64 KiB."),
    entry("already-scheduled", 409, "The function is scheduled already", "Unschedule it first."),

    entry("goods-exist", 409, "Goods with this id exist", "Use another id."),
    entry("goods-not-found", 404, "No such goods", "Check the id; GET /v1/goods lists them."),
    entry("goods-discontinued", 409, "The goods are discontinued", "They cannot be changed or ordered any more."),
    entry("invalid-name", 422, "The name does not fit", "A name has 1 to 200 characters."),
    entry("invalid-reason", 422, "The reason does not fit", "A reason has 1 to 500 characters."),
    entry("invalid-price", 422, "The price does not fit", "A price is 0 to 2^53-1 minor units."),
    entry("invalid-stock", 422, "The stock does not fit", "A stock is 0 to 1,000,000,000,000 pieces."),
    entry("insufficient-stock", 409, "Not so many pieces are left", "Read the goods, and take away less."),
    entry("invalid-quantity", 422, "The quantity does not fit", "A quantity is 1 to 1,000,000."),
    entry("unknown-goods", 409, "The order names goods that do not exist", "Order something that GET /v1/goods lists."),
    entry("not-for-sale", 409, "The goods are discontinued", "Order something else."),
    entry("sold-out", 409, "Not enough is left", "Order less, or later."),
    entry("reserved-otherwise", 409, "The line is reserved with another quantity", "Nothing: only the system itself meets this."),

    entry("order-exists", 409, "An order with this id exists", "Use another id."),
    entry("order-not-found", 404, "No such order", "Check the id; GET /v1/orders lists yours."),
    entry("not-your-order", 404, "No such order", "Check the id; GET /v1/orders lists yours."),
    entry("not-your-name", 422, "Orders are placed in one's own name", "Leave user_id out, or send your own."),
    entry("no-lines", 422, "Nothing is ordered", "An order has 1 to 100 lines."),
    entry("too-many-lines", 422, "Too many lines", "An order has 1 to 100 lines: split it."),
    entry("quantity-out-of-range", 422, "A quantity does not fit", "A quantity is 1 to 1,000,000."),
    entry("goods-twice", 422, "The same goods stand in two lines", "Add their quantities up in one line."),
    entry("invalid-text", 422, "A text is empty or too long", "The detail names the field; it has 1 to 500 characters."),
    entry("no-such-line", 422, "The order has no such line", "Nothing: only the system itself meets this."),
    entry("order-not-confirmed", 409, "The order is not confirmed yet", "Wait for it: GET /v1/orders/<id>?until=confirmed."),
    entry("order-closed", 409, "The order is over", "Nothing can be done with it any more; place a new one."),
    entry("already-paid", 409, "The order is paid already", "Nothing."),
    entry("paid-not-cancellable", 409, "A paid order is not cancelled", "Refund it instead."),
    entry("not-paid", 409, "Nothing was paid", "Only a paid order can be refunded."),
    entry("already-refunded", 409, "The order is refunded in full", "Nothing is left to give back."),
    entry("invalid-amount", 422, "The amount does not fit", "An amount is 1 to 2^53-1 minor units."),
    entry("wrong-amount", 422, "Not what the order costs", "Pay exactly the order's total."),
    entry("wrong-currency", 422, "Another currency than the order's", "Use the currency of the order's total."),
    entry("refund-exceeds-payment", 422, "More than is left of the payment", "Give back at most what is left."),

    entry("user-exists", 409, "A user with this id exists", "Use another id (or Idempotency-Key)."),
    entry("user-not-found", 404, "No such user", "Check the id. A token that no log-in made may speak for somebody who has no account."),
    entry("not-you", 404, "No such user", "Check the id; another's account is not shown."),
    entry("wrong-stream", 422, "Not a stream for this command", "Accounts are user-<id>, addresses email-<id>."),
    entry("invalid-email", 422, "No e-mail address", "As ada@example.org, at most 254 characters."),
    entry("invalid-password-hash", 422, "No hash that can be used", "An argon2id hash in PHC form, m=19456 to 65536, t=2 to 10, p=1 to 4."),
    entry("email-taken", 409, "The address has an account", "Log in, or use another address."),
    entry("user-not-active", 409, "The account is not open", "A closed account stays closed. One that is being made is open in a moment."),
    entry("password-outdated", 409, "The password was changed meanwhile", "Log in with the new one."),
];

/// The entry of this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

/// The status of a problem of the gateway's own.
pub(super) fn status_of(name: &str) -> StatusCode {
    find(name)
        .and_then(|entry| StatusCode::from_u16(entry.status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The title; a name that only a newer worker knows is its own title.
pub(super) fn title_of(name: &str) -> String {
    find(name).map_or_else(|| name.replace('-', " "), |entry| entry.title.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use factfold_schemas::{functions, goods, orders, rejection::Common, users};
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_unique_and_statuses_real() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        assert!(CATALOGUE.iter().all(|entry| StatusCode::from_u16(entry.status).is_ok()));
    }

    #[test]
    fn every_rejection_has_a_page() {
        for names in [
            names_of::<functions::Rejection>(),
            names_of::<goods::Rejection>(),
            names_of::<orders::Rejection>(),
            names_of::<users::Rejection>(),
            names_of::<Common>(),
        ] {
            assert!(names.len() > 2);
            for name in names {
                assert!(find(&name).is_some(), "`{name}` is missing in the catalogue");
            }
        }
    }

    /// serde lists the variants when it is asked for one that is not there.
    fn names_of<R: DeserializeOwned>() -> Vec<String> {
        let error =
            serde_json::from_value::<R>(json!({"name": "?"})).err().expect("no such variant").to_string();
        error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }
}
