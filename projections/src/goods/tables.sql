CREATE TABLE goods (
    id           UUID PRIMARY KEY,
    version      BIGINT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
    name         TEXT NOT NULL,
    price        BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    stock        BIGINT NOT NULL CHECK (stock >= 0),
    discontinued BOOLEAN NOT NULL
);

COMMENT ON TABLE goods IS 'What is sold: one row for each kind of goods.';
COMMENT ON COLUMN goods.id IS 'The id; the stream is goods-<id>.';
COMMENT ON COLUMN goods.version IS 'The version of the last event of the stream.';
COMMENT ON COLUMN goods.created_at IS 'When they were added.';
COMMENT ON COLUMN goods.updated_at IS 'When they last changed.';
COMMENT ON COLUMN goods.name IS 'What people read.';
COMMENT ON COLUMN goods.price IS 'The price of one piece, in minor units of the currency.';
COMMENT ON COLUMN goods.currency IS 'ISO 4217.';
COMMENT ON COLUMN goods.stock IS 'What is left to sell, in pieces.';
COMMENT ON COLUMN goods.discontinued IS 'Whether they are sold no more.';
