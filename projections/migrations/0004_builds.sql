-- A read model can be built anew beside itself, from the same fold or another. `version` counts the builds.
ALTER TABLE projections ADD COLUMN fold INTEGER;
UPDATE projections SET fold = version;
ALTER TABLE projections ALTER COLUMN fold SET NOT NULL;
ALTER TABLE projections ADD COLUMN paused BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE projections ADD COLUMN goes_live BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE projections ADD COLUMN caught_up_at TIMESTAMPTZ;
ALTER TABLE projections ADD COLUMN shown_until TIMESTAMPTZ;
-- Indexes are made when a build has folded the log: all rows at once take less than one by one.
ALTER TABLE projections ADD COLUMN indexed BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE projections SET indexed = TRUE;
ALTER TABLE projections ADD COLUMN comparison JSONB;
-- Builds of the past are kept for whoever asks about the same time again.
ALTER TABLE projections ADD COLUMN used_at TIMESTAMPTZ NOT NULL DEFAULT now();
COMMENT ON TABLE projections IS 'Every build of every read model that has tables here.';
COMMENT ON COLUMN projections.version IS 'Which build: 1, 2, 3 …';
COMMENT ON COLUMN projections.current IS 'Whether the views show this build.';
COMMENT ON COLUMN projections.fold IS 'Which fold and tables it has: only a projector with the same goes on with it.';
COMMENT ON COLUMN projections.paused IS 'Whether projectors leave it alone.';
COMMENT ON COLUMN projections.goes_live IS 'Whether it is shown as soon as it has caught up.';
COMMENT ON COLUMN projections.caught_up_at IS 'When it first came to the end of the log.';
COMMENT ON COLUMN projections.shown_until IS 'Until when the views showed it: the way back leads to the latest.';
COMMENT ON COLUMN projections.indexed IS 'Whether its tables have all their indexes.';
COMMENT ON COLUMN projections.comparison IS 'How it differed from the build that was shown when it had caught up.';
COMMENT ON COLUMN projections.used_at IS 'When somebody last asked about the moment that a build of the past is of.';

-- What is counted here is never given again, so that a build that is gone is not mistaken for the next.
CREATE TABLE build_numbers (
    projection TEXT PRIMARY KEY,
    last       INTEGER NOT NULL
);
INSERT INTO build_numbers SELECT projection, max(version) FROM projections GROUP BY projection;
COMMENT ON TABLE build_numbers IS 'The last build of each read model, whether it is still there or not.';
COMMENT ON COLUMN build_numbers.projection IS 'The name of the read model.';
COMMENT ON COLUMN build_numbers.last IS 'Its number.';

-- As before; but a view whose columns stay keeps its identity, so that whoever reads it just then is not disturbed. And views are
-- taken in the order in which their tables were made, as questions name them: in another order a question and a switch could each
-- wait for the other.
CREATE OR REPLACE FUNCTION publish(from_schema TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    to_schema TEXT := current_schema();
    relation  RECORD;
    remark    RECORD;
BEGIN
    FOR relation IN
        SELECT c.oid, c.relname FROM pg_class c
        WHERE c.relnamespace = from_schema::regnamespace AND c.relkind = 'r'
        ORDER BY c.oid
    LOOP
        BEGIN
            EXECUTE format('CREATE OR REPLACE VIEW %I.%I AS SELECT * FROM %I.%I',
                to_schema, relation.relname, from_schema, relation.relname);
        EXCEPTION WHEN invalid_table_definition THEN
            EXECUTE format('DROP VIEW %I.%I', to_schema, relation.relname);
            EXECUTE format('CREATE VIEW %I.%I AS SELECT * FROM %I.%I',
                to_schema, relation.relname, from_schema, relation.relname);
        END;
        EXECUTE format('COMMENT ON VIEW %I.%I IS %L',
            to_schema, relation.relname, obj_description(relation.oid, 'pg_class'));
        FOR remark IN
            SELECT a.attname, col_description(relation.oid, a.attnum) AS text FROM pg_attribute a
            WHERE a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I.%I IS %L',
                to_schema, relation.relname, remark.attname, remark.text);
        END LOOP;
        IF NOT starts_with(relation.relname, '_')
            AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'factfold_reader')
        THEN
            EXECUTE format('GRANT SELECT ON %I.%I TO factfold_reader', to_schema, relation.relname);
        END IF;
    END LOOP;
END
$$;

-- Lets analysts see the tables of a build, but for those that are not for them.
CREATE FUNCTION show_to_readers(schema TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    shown TEXT;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'factfold_reader') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO factfold_reader', schema);
        FOR shown IN SELECT tablename FROM pg_tables WHERE schemaname = schema AND NOT starts_with(tablename, '_') LOOP
            EXECUTE format('GRANT SELECT ON %I.%I TO factfold_reader', schema, shown);
        END LOOP;
    END IF;
END
$$;
