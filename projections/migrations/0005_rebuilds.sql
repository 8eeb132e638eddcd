-- Indexes are made when a build has folded the log: all rows at once take less than one by one.
ALTER TABLE projections ADD COLUMN indexed BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE projections SET indexed = TRUE;
COMMENT ON COLUMN projections.indexed IS 'Whether its tables have all their indexes.';

-- What was found when a build had come to the end, and was compared with the one that was shown.
ALTER TABLE projections ADD COLUMN comparison JSONB;
COMMENT ON COLUMN projections.comparison IS 'How it differed from the build that was shown when it had caught up.';
