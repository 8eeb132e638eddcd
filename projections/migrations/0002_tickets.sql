-- Which tickets were used, so that all gateways agree that each is good once.

CREATE TABLE used_tickets (
    ticket     UUID PRIMARY KEY,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX used_tickets_expires_at ON used_tickets (expires_at);
COMMENT ON TABLE used_tickets IS 'Tickets for event streams that were used; forgotten an hour after they end.';
COMMENT ON COLUMN used_tickets.ticket IS 'The id of the ticket.';
COMMENT ON COLUMN used_tickets.expires_at IS 'When the ticket ends.';
