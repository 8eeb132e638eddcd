CREATE INDEX orders_newest ON orders (created_at, id);
CREATE INDEX orders_newest_of_user ON orders (user_id, created_at, id);
CREATE INDEX orders_newest_of_status ON orders (status, created_at, id);
CREATE INDEX order_lines_of_goods ON order_lines (goods_id, order_id);
