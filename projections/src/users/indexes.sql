CREATE INDEX users_newest ON users (created_at, id);
-- At most one account holds an address; but accounts come from several partitions, and the next holder can be read first.
CREATE INDEX users_by_email ON users (email_id) WHERE status = 'active';
