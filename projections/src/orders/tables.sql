CREATE TABLE orders (
    id               UUID PRIMARY KEY,
    version          BIGINT NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL,
    user_id          UUID NOT NULL,
    status           TEXT NOT NULL,
    total            BIGINT,
    paid             BIGINT,
    refunded         BIGINT,
    currency         TEXT,
    rejection_name   TEXT,
    rejection_detail TEXT,
    rejection_line   INTEGER
);

COMMENT ON TABLE orders IS 'Who bought what, and whether it was paid: one row for each order.';
COMMENT ON COLUMN orders.id IS 'The id; the stream is order-<id>.';
COMMENT ON COLUMN orders.version IS 'The version of the last event of the stream.';
COMMENT ON COLUMN orders.created_at IS 'When it was created.';
COMMENT ON COLUMN orders.updated_at IS 'When it last changed.';
COMMENT ON COLUMN orders.user_id IS 'Whose order it is.';
COMMENT ON COLUMN orders.status IS 'created, confirmed, rejected, paid, refunded, cancelled or expired.';
COMMENT ON COLUMN orders.total IS 'What is to be paid, in minor units of the currency; fixed when the order is confirmed.';
COMMENT ON COLUMN orders.paid IS 'What was paid, in minor units of the currency.';
COMMENT ON COLUMN orders.refunded IS 'What was given back, in minor units of the currency.';
COMMENT ON COLUMN orders.currency IS 'ISO 4217; known when the order is confirmed.';
COMMENT ON COLUMN orders.rejection_name IS 'Why it was rejected: sold-out, unknown-goods, …';
COMMENT ON COLUMN orders.rejection_detail IS 'The same in a sentence.';
COMMENT ON COLUMN orders.rejection_line IS 'The line to blame, from 0.';

CREATE TABLE order_lines (
    order_id   UUID NOT NULL,
    line       INTEGER NOT NULL,
    goods_id   UUID NOT NULL,
    quantity   BIGINT NOT NULL,
    unit_price BIGINT,
    currency   TEXT,
    PRIMARY KEY (order_id, line)
);

COMMENT ON TABLE order_lines IS 'What is ordered: one row for each line of an order.';
COMMENT ON COLUMN order_lines.order_id IS 'The order.';
COMMENT ON COLUMN order_lines.line IS 'The line within the order, from 0.';
COMMENT ON COLUMN order_lines.goods_id IS 'Which goods.';
COMMENT ON COLUMN order_lines.quantity IS 'How many pieces.';
COMMENT ON COLUMN order_lines.unit_price IS 'The price of one piece, in minor units of the currency; fixed when the line is reserved.';
COMMENT ON COLUMN order_lines.currency IS 'ISO 4217; known when the line is reserved.';
