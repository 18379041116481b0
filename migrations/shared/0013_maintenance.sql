-- When each recurring task last began, so that several processes do it once between them.
CREATE TABLE maintenance (
    task     text COLLATE "C" PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

INSERT INTO maintenance (task) VALUES ('prune');
