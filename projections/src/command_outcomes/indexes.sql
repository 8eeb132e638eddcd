CREATE INDEX command_outcomes_by_command_id ON command_outcomes (command_id, decided_at);
-- A command that was neither forwarded nor scheduled is found by `decided`, which is the same.
CREATE INDEX command_outcomes_of_copies ON command_outcomes (stored) WHERE stored <> decided;
