CREATE INDEX goods_newest ON goods (created_at, id);
