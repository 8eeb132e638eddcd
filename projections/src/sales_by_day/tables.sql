CREATE TABLE sales_by_day (
    day      DATE NOT NULL,
    goods_id UUID NOT NULL,
    currency TEXT NOT NULL,
    orders   BIGINT NOT NULL,
    pieces   BIGINT NOT NULL,
    revenue  BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    PRIMARY KEY (day, goods_id, currency)
);

COMMENT ON TABLE sales_by_day IS 'What was paid for, and what was given back, by day and goods.';
COMMENT ON COLUMN sales_by_day.day IS 'The day (UTC) of the payment, and of the refund.';
COMMENT ON COLUMN sales_by_day.goods_id IS 'The goods.';
COMMENT ON COLUMN sales_by_day.currency IS 'ISO 4217.';
COMMENT ON COLUMN sales_by_day.orders IS 'How many orders with these goods were paid on that day.';
COMMENT ON COLUMN sales_by_day.pieces IS 'How many pieces they had.';
COMMENT ON COLUMN sales_by_day.revenue IS 'What was paid for them, in minor units of the currency.';
COMMENT ON COLUMN sales_by_day.refunded IS 'What was given back on that day for orders of whatever day, in minor units. A part of an order is shared out among its lines, by what is left of each.';

-- What must be known of an order when it is paid, and when something of it is given back.
CREATE TABLE _sales_orders (
    id      UUID PRIMARY KEY,
    version BIGINT NOT NULL,
    lines   JSONB NOT NULL
);
COMMENT ON TABLE _sales_orders IS 'Not for analysts: the orders, as far as sales_by_day must know them.';
COMMENT ON COLUMN _sales_orders.id IS 'The id of the order.';
COMMENT ON COLUMN _sales_orders.version IS 'The version of the last event of the stream.';
COMMENT ON COLUMN _sales_orders.lines IS 'Goods, quantity, price of one piece, and what was given back so far, line by line.';
