CREATE TABLE order_timeline (
    order_id    UUID NOT NULL,
    version     BIGINT NOT NULL,
    type        TEXT NOT NULL,
    data        JSONB NOT NULL,
    at          TIMESTAMPTZ NOT NULL,
    auth_kind   TEXT,
    auth_id     TEXT,
    correlation TEXT,
    command_id  TEXT NOT NULL,
    decided     TEXT NOT NULL,
    PRIMARY KEY (order_id, version)
);

COMMENT ON TABLE order_timeline IS 'What happened to each order, when, why and on whose behalf: one row for each event.';
COMMENT ON COLUMN order_timeline.order_id IS 'The order.';
COMMENT ON COLUMN order_timeline.version IS 'The place of the event in the history of the order: 1, 2, 3 … without gaps.';
COMMENT ON COLUMN order_timeline.type IS 'The type of the event: OrderCreated, OrderPaid, …';
COMMENT ON COLUMN order_timeline.data IS 'What the event says; amounts are minor units.';
COMMENT ON COLUMN order_timeline.at IS 'When: the broker''s time of the command.';
COMMENT ON COLUMN order_timeline.auth_kind IS 'On whose behalf: user, system, …';
COMMENT ON COLUMN order_timeline.auth_id IS 'Which user, or which part of the system.';
COMMENT ON COLUMN order_timeline.correlation IS 'What belongs together, across streams and services.';
COMMENT ON COLUMN order_timeline.command_id IS 'The id of the command that it follows from.';
COMMENT ON COLUMN order_timeline.decided IS 'The position of the command that it follows from.';
