-- Builds of the past are kept for whoever asks about the same time again.
ALTER TABLE projections ADD COLUMN used_at TIMESTAMPTZ NOT NULL DEFAULT now();
COMMENT ON COLUMN projections.used_at IS 'When somebody last asked about the moment that a build of the past is of.';

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
