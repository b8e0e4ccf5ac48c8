-- Marks a database that was filled with made-up data (`suiftly admin demo seed`): one row or none.
CREATE TABLE demo (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    -- What the data was made from; the bits of an unsigned number.
    seed BIGINT NOT NULL,
    begun_at_ms BIGINT NOT NULL,
    -- Nothing: the seeding was cut off.
    finished_at_ms BIGINT
);
